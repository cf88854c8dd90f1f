// Every misuse that can be detected is an error, and does no harm: the heap works afterwards.
#include "check.h"

#include <pthread.h>
#include <signal.h>

static palimpsest_heap *heap, *other_heap;
static palimpsest_mutator *mutator, *other_mutator;
static void *object;

static void null_arguments(void)
{
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_heap *made = NULL;
    palimpsest_kind kind = 0;
    palimpsest_handle *handle = NULL;
    palimpsest_roots *roots = NULL;
    uint64_t value = 0;
    bool found = false;
    FAILS(palimpsest_config_limit(NULL, 1), PALIMPSEST_NULL, "palimpsest_config is NULL");
    FAILS(palimpsest_config_rung(config, NULL), PALIMPSEST_NULL, "rung is NULL");
    FAILS(palimpsest_config_events(config, NULL), PALIMPSEST_NULL, "palimpsest_events is NULL");
    FAILS(palimpsest_config_trace(config, NULL, NULL, NULL), PALIMPSEST_NULL, "number is NULL");
    FAILS(palimpsest_heap_new(NULL, &made), PALIMPSEST_NULL, "palimpsest_config is NULL");
    FAILS(palimpsest_heap_new(config, NULL), PALIMPSEST_NULL, "heap is NULL");
    FAILS(palimpsest_attach(NULL, false, &mutator), PALIMPSEST_NULL, "palimpsest_heap is NULL");
    FAILS(palimpsest_attach(heap, false, NULL), PALIMPSEST_NULL, "mutator is NULL");
    FAILS(palimpsest_define_layout(heap, 1, PALIMPSEST_NO_TAIL, NULL), PALIMPSEST_NULL, "kind is NULL");
    FAILS(palimpsest_define_layout(NULL, 1, PALIMPSEST_NO_TAIL, &kind), PALIMPSEST_NULL, "palimpsest_heap is NULL");
    FAILS(palimpsest_poll(NULL), PALIMPSEST_NULL, "palimpsest_mutator is NULL");
    FAILS(palimpsest_blocking(mutator, NULL, NULL), PALIMPSEST_NULL, "function is NULL");
    FAILS(palimpsest_with_reserve(mutator, NULL, NULL), PALIMPSEST_NULL, "function is NULL");
    FAILS(palimpsest_handle_new(mutator, NULL, &handle), PALIMPSEST_NULL, "object is NULL");
    FAILS(palimpsest_handle_new(mutator, object, NULL), PALIMPSEST_NULL, "handle is NULL");
    FAILS(palimpsest_roots_fixed(heap, NULL, 1, &roots), PALIMPSEST_NULL, "start is NULL");
    FAILS(palimpsest_roots_up_to(heap, &value, NULL, &roots), PALIMPSEST_NULL, "top is NULL");
    const uint64_t *const *odd_top = (const void *)((uintptr_t)&value + 4);
    FAILS(palimpsest_roots_up_to(heap, &value, odd_top, &roots), PALIMPSEST_INVALID, "aligned");
    FAILS(palimpsest_weak_map_get(mutator, NULL, object, &value, &found), PALIMPSEST_NULL, "palimpsest_weak_map is NULL");
    FAILS(palimpsest_heap_stats(heap, NULL), PALIMPSEST_NULL, "palimpsest_stats is NULL");
    FAILS(palimpsest_heap_text(heap, PALIMPSEST_TEXT_STATS, NULL, 5, NULL), PALIMPSEST_NULL, "buffer is NULL");
    CHECK(palimpsest_alloc(NULL, PALIMPSEST_LEAF, 16) == NULL && palimpsest_last_status() == PALIMPSEST_NULL);
    CHECK(palimpsest_handle_get(NULL) == NULL && palimpsest_last_status() == PALIMPSEST_NULL);
    // What frees takes NULL, as free does.
    OK(palimpsest_config_free(NULL));
    OK(palimpsest_heap_free(NULL));
    OK(palimpsest_detach(NULL));
    OK(palimpsest_handle_free(NULL));
    OK(palimpsest_roots_free(NULL));
    OK(palimpsest_weak_free(NULL));
    OK(palimpsest_weak_map_free(NULL));
    OK(palimpsest_ephemeron_free(NULL));
    OK(palimpsest_kernel_io_end(NULL));
    OK(palimpsest_config_free(config));
    FAILS(palimpsest_config_limit(config, 1), PALIMPSEST_FREED, "was freed before");
}

static void values(void)
{
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_codec codec = palimpsest_codec_low_tag(1, 1);
    codec.value = 2;
    FAILS(palimpsest_config_codec(config, codec), PALIMPSEST_INVALID, "outside of `mask`");
    codec = palimpsest_codec_low_tag(1, 1);
    codec.address_mask = UINT64_MAX;
    FAILS(palimpsest_config_codec(config, codec), PALIMPSEST_INVALID, "part of every address");
    codec.address_mask = 0;
    FAILS(palimpsest_config_codec(config, codec), PALIMPSEST_INVALID, "`address_mask` is 0");
    palimpsest_events events = {0};
    FAILS(palimpsest_config_events(config, &events), PALIMPSEST_INVALID, "sizeof(palimpsest_events)");
    OK(palimpsest_config_free(config));

    CHECK(palimpsest_alloc(mutator, 0, 16) == NULL && palimpsest_last_status() == PALIMPSEST_INVALID);
    CHECK(palimpsest_alloc(mutator, 99, 16) == NULL && palimpsest_last_status() == PALIMPSEST_INVALID);
    CHECK(palimpsest_alloc(mutator, 5, 16) == NULL && palimpsest_last_status() == PALIMPSEST_INVALID);
    CHECK(palimpsest_alloc(mutator, 5, SIZE_MAX) == NULL);
    palimpsest_kind kind = 0;
    OK(palimpsest_define_layout(heap, 1 << 5, PALIMPSEST_NO_TAIL, &kind));
    CHECK(palimpsest_alloc(mutator, kind, 47) == NULL && palimpsest_last_status() == PALIMPSEST_INVALID);
    CHECK(palimpsest_alloc(mutator, kind, 48) != NULL);
    // Of the other heap it is none.
    CHECK(palimpsest_alloc(other_mutator, kind, 48) == NULL && palimpsest_last_status() == PALIMPSEST_INVALID);
    for (int more = 1; more < 11; more++)
        OK(palimpsest_define_layout(heap, 1, PALIMPSEST_NO_TAIL, &kind));
    FAILS(palimpsest_define_layout(heap, 1, PALIMPSEST_NO_TAIL, &kind), PALIMPSEST_TOO_MANY, "PALIMPSEST_HEADED");

    palimpsest_roots *roots = NULL;
    static uint64_t words[4];
    const uint64_t *crooked = (const uint64_t *)((const char *)words + 4);
    FAILS(palimpsest_roots_fixed(heap, crooked, 1, &roots), PALIMPSEST_INVALID, "aligned");
    FAILS(palimpsest_roots_fixed(heap, words, SIZE_MAX / 4, &roots), PALIMPSEST_INVALID, "no range");
    palimpsest_handle **place = (palimpsest_handle **)((char *)words + 1);
    FAILS(palimpsest_handle_new(mutator, object, place), PALIMPSEST_INVALID, "not aligned");
    FAILS(palimpsest_step_in(mutator), PALIMPSEST_INVALID, "has not stepped out");
}

static void addresses(void)
{
    palimpsest_handle *handle = NULL;
    palimpsest_weak *weak = NULL;
    uint64_t local[4];
    char *leaf = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    // On the stack; in the middle of an object; of another heap; where nothing was allocated.
    FAILS(palimpsest_handle_new(mutator, local, &handle), PALIMPSEST_NOT_AN_OBJECT, "no memory of this heap");
    FAILS(palimpsest_handle_new(mutator, leaf + 8, &handle), PALIMPSEST_NOT_AN_OBJECT, "no object starts");
    FAILS(palimpsest_handle_new(mutator, leaf + 16, &handle), PALIMPSEST_NOT_AN_OBJECT, "no object starts");
    FAILS(palimpsest_weak_new(mutator, leaf + 32, &weak), PALIMPSEST_NOT_AN_OBJECT, "no object starts");
    FAILS(palimpsest_weak_new(other_mutator, leaf, &weak), PALIMPSEST_NOT_AN_OBJECT, "no memory of this heap");
    FAILS(palimpsest_finalizer_register(mutator, leaf + 65536, 0, NULL), PALIMPSEST_NOT_AN_OBJECT, "no object starts");
    CHECK(handle == NULL && weak == NULL);
}

static void foreign_things(void)
{
    palimpsest_handle *handle = NULL;
    palimpsest_weak *weak = NULL;
    palimpsest_weak_map *map = NULL;
    palimpsest_ephemeron *ephemeron = NULL;
    void *found = NULL;
    uint64_t value = 0;
    bool there = false;
    OK(palimpsest_handle_new(mutator, object, &handle));
    OK(palimpsest_weak_new(mutator, object, &weak));
    OK(palimpsest_weak_map_new(mutator, &map));
    OK(palimpsest_ephemeron_new(mutator, object, 0, &ephemeron));
    FAILS(palimpsest_handle_set(other_mutator, handle, object), PALIMPSEST_WRONG_HEAP, "another heap");
    FAILS(palimpsest_weak_get(other_mutator, weak, &found), PALIMPSEST_WRONG_HEAP, "another heap");
    FAILS(palimpsest_weak_map_get(other_mutator, map, object, &value, &there), PALIMPSEST_WRONG_HEAP, "another heap");
    FAILS(palimpsest_ephemeron_get(other_mutator, ephemeron, &found, &value), PALIMPSEST_WRONG_HEAP, "another heap");

    // Things of another type, and things that were freed.
    FAILS(palimpsest_weak_free((palimpsest_weak *)handle), PALIMPSEST_FREED, "something else");
    FAILS(palimpsest_poll((palimpsest_mutator *)handle), PALIMPSEST_FREED, "something else");
    FAILS(palimpsest_poll((palimpsest_mutator *)((char *)handle + 1)), PALIMPSEST_FREED, "is no palimpsest_mutator");
    OK(palimpsest_handle_free(handle));
    FAILS(palimpsest_handle_free(handle), PALIMPSEST_FREED, "was freed before");
    CHECK(palimpsest_handle_get(handle) == NULL && palimpsest_last_status() == PALIMPSEST_FREED);
    OK(palimpsest_weak_free(weak));
    FAILS(palimpsest_weak_get(mutator, weak, &found), PALIMPSEST_FREED, "was freed before");
    OK(palimpsest_weak_map_free(map));
    FAILS(palimpsest_weak_map_free(map), PALIMPSEST_FREED, "was freed before");
    OK(palimpsest_ephemeron_free(ephemeron));
    FAILS(palimpsest_ephemeron_free(ephemeron), PALIMPSEST_FREED, "was freed before");
}

static void *on_another_thread(void *unused)
{
    palimpsest_mutator *own = NULL;
    CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_WRONG_THREAD);
    FAILS(palimpsest_poll(mutator), PALIMPSEST_WRONG_THREAD, "another thread");
    FAILS(palimpsest_detach(mutator), PALIMPSEST_WRONG_THREAD, "another thread");
    FAILS(palimpsest_step_in(mutator), PALIMPSEST_WRONG_THREAD, "another thread");

    // The write barrier's signals are needed, where this machine has a barrier that works by one.
    sigset_t signals;
    char rung[64];
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_RUNG, rung, sizeof rung, NULL));
    sigemptyset(&signals);
    sigaddset(&signals, SIGBUS);
    CHECK(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
    if (strncmp(rung, "preimage/signal", 15) == 0)
        FAILS(palimpsest_attach(heap, false, &own), PALIMPSEST_SIGNAL_BLOCKED, "SIGBUS");
    return unused;
}

static void threads(void)
{
    palimpsest_mutator *again = NULL;
    pthread_t thread;
    FAILS(palimpsest_attach(heap, false, &again), PALIMPSEST_ALREADY_ATTACHED, "attached");
    CHECK(pthread_create(&thread, NULL, on_another_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);

    palimpsest_heap *scanned = new_heap();
    OK(palimpsest_attach(scanned, true, &again));
    FAILS(palimpsest_step_out(again), PALIMPSEST_INVALID, "palimpsest_blocking");
    OK(palimpsest_detach(again));
    FAILS(palimpsest_detach(again), PALIMPSEST_FREED, "was freed before");
    CHECK(palimpsest_alloc(again, PALIMPSEST_LEAF, 16) == NULL && palimpsest_last_status() == PALIMPSEST_FREED);
    OK(palimpsest_heap_free(scanned));
}

static void heaps_that_are_gone(void)
{
    palimpsest_heap *gone = new_heap();
    palimpsest_mutator *last = attach(gone);
    palimpsest_weak *weak = NULL;
    palimpsest_weak_map *map = NULL;
    void *found = NULL;
    size_t length = 0;
    OK(palimpsest_weak_new(last, palimpsest_alloc(last, PALIMPSEST_LEAF, 16), &weak));
    OK(palimpsest_weak_map_new(last, &map));
    OK(palimpsest_heap_free(gone));
    FAILS(palimpsest_heap_free(gone), PALIMPSEST_FREED, "was freed before");
    FAILS(palimpsest_attach(gone, false, &last), PALIMPSEST_FREED, "was freed before");
    OK(palimpsest_detach(last));
    FAILS(palimpsest_weak_map_len(map, &length), PALIMPSEST_HEAP_GONE, "free this as well");
    FAILS(palimpsest_weak_get(mutator, weak, &found), PALIMPSEST_HEAP_GONE, "free this as well");
    OK(palimpsest_weak_map_free(map));
    OK(palimpsest_weak_free(weak));
}

int main(void)
{
    heap = new_heap();
    other_heap = new_heap();
    mutator = attach(heap);
    other_mutator = attach(other_heap);
    object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, object, &handle));
    CHECK(palimpsest_last_status() == PALIMPSEST_OK && strcmp(palimpsest_last_error(), "") == 0);

    null_arguments();
    values();
    addresses();
    foreign_things();
    threads();
    heaps_that_are_gone();

    CHECK(marked(mutator) == 1 && palimpsest_handle_get(handle) == object);
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(other_mutator));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(other_heap));
    OK(palimpsest_heap_free(heap));
    puts("misuse: ok");
    return 0;
}
