// Threads: each attaches itself; one that waits holds up nobody; a heap lives as long as its last mutator.
#include "check.h"

#include <pthread.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 200, LENGTH = 200 };

static palimpsest_heap *heap;
static palimpsest_kind kind;

struct cell {
    uint64_t number;
    struct cell *next;
};

static void *build_lists(void *unused)
{
    palimpsest_mutator *mutator = attach(heap);
    palimpsest_handle *handle = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t number = 0; number < LENGTH; number++) {
            struct cell *cell = palimpsest_alloc(mutator, kind, sizeof *cell);
            CHECK(cell != NULL);
            cell->number = number;
            if (number == 0) {
                CHECK(handle == NULL);
                OK(palimpsest_handle_new(mutator, cell, &handle));
                continue;
            }
            cell->next = palimpsest_handle_get(handle);
            OK(palimpsest_handle_set(mutator, handle, cell));
        }
        if (round % 50 == 0)
            OK(palimpsest_collect_young(mutator, NULL));
        uint64_t number = LENGTH;
        for (struct cell *cell = palimpsest_handle_get(handle); cell != NULL; cell = cell->next)
            CHECK(cell->number == --number);
        CHECK(number == 0);
        OK(palimpsest_handle_free(handle));
        handle = NULL;
    }
    OK(palimpsest_detach(mutator));
    return unused;
}

struct pipes {
    palimpsest_mutator *mutator;
    int in[2], out[2];
};

// Answers a byte with a byte. The mutator cannot be used meanwhile.
static void exchange(void *data)
{
    struct pipes *pipes = data;
    char byte = 0;
    CHECK(palimpsest_alloc(pipes->mutator, PALIMPSEST_LEAF, 16) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_BLOCKED);
    FAILS(palimpsest_step_in(pipes->mutator), PALIMPSEST_INVALID, "has not stepped out");
    CHECK(write(pipes->out[1], &byte, 1) == 1);
    CHECK(read(pipes->in[0], &byte, 1) == 1);
}

static void *wait_in_a_call(void *data)
{
    struct pipes *pipes = data;
    OK(palimpsest_attach(heap, true, &pipes->mutator));
    OK(palimpsest_blocking(pipes->mutator, exchange, pipes));
    CHECK(palimpsest_alloc(pipes->mutator, PALIMPSEST_LEAF, 16) != NULL);
    OK(palimpsest_detach(pipes->mutator));
    return NULL;
}

static void *wait_outside(void *data)
{
    struct pipes *pipes = data;
    pipes->mutator = attach(heap);
    OK(palimpsest_step_out(pipes->mutator));
    FAILS(palimpsest_poll(pipes->mutator), PALIMPSEST_BLOCKED, "stepped out");
    FAILS(palimpsest_detach(pipes->mutator), PALIMPSEST_BLOCKED, "stepped out");
    char byte = 0;
    CHECK(write(pipes->out[1], &byte, 1) == 1);
    CHECK(read(pipes->in[0], &byte, 1) == 1);
    OK(palimpsest_step_in(pipes->mutator));
    CHECK(palimpsest_alloc(pipes->mutator, PALIMPSEST_LEAF, 16) != NULL);
    OK(palimpsest_detach(pipes->mutator));
    return NULL;
}

int main(void)
{
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_options(config, "cycle-every=1M"));
    heap = heap_with(config);
    OK(palimpsest_define_layout(heap, 2, PALIMPSEST_NO_TAIL, &kind));

    pthread_t threads[THREADS];
    for (int at = 0; at < THREADS; at++)
        CHECK(pthread_create(&threads[at], NULL, build_lists, NULL) == 0);
    for (int at = 0; at < THREADS; at++)
        CHECK(pthread_join(threads[at], NULL) == 0);

    palimpsest_mutator *mutator = attach(heap);
    void *(*const waits[])(void *) = {wait_in_a_call, wait_outside};
    for (int at = 0; at < 2; at++) {
        struct pipes pipes = {0};
        char byte = 0;
        CHECK(pipe(pipes.in) == 0 && pipe(pipes.out) == 0);
        CHECK(pthread_create(&threads[0], NULL, waits[at], &pipes) == 0);
        CHECK(read(pipes.out[0], &byte, 1) == 1);
        // Would last for ever if the other thread were waited for.
        CHECK(marked(mutator) == 0);
        CHECK(write(pipes.in[1], &byte, 1) == 1);
        // This thread waits for the other, which may have to wait for a cycle, for which nobody waits.
        CHECK(pthread_join(threads[0], NULL) == 0);
    }

    // The heap's pointer is gone, the heap is not.
    OK(palimpsest_heap_free(heap));
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16), &handle));
    CHECK(marked(mutator) == 1);
    OK(palimpsest_detach(mutator));
    CHECK(palimpsest_handle_get(handle) == NULL && palimpsest_last_status() == PALIMPSEST_HEAP_GONE);
    OK(palimpsest_handle_free(handle));
    puts("threads: ok");
    return 0;
}
