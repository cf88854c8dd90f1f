// A heap at its limit: an error, an event, and the reserve.
#include "check.h"

struct heard {
    int times;
    size_t limit;
};

static void out_of_memory(size_t requested, size_t used, size_t limit, void *data)
{
    struct heard *heard = data;
    CHECK(used > 0 && requested >= 100000);
    heard->times++;
    heard->limit = limit;
}

// What the event's function may do, and what would be a safepoint.
static void collects(size_t requested, size_t used, size_t limit, void *data)
{
    (void)requested, (void)used, (void)limit;
    palimpsest_mutator **mutator = data;
    OK(palimpsest_collect(*mutator, NULL));
}

// An allocation without a safepoint that finds no room keeps what only the stack refers to.
static void no_safepoint(void)
{
    palimpsest_mutator *mutator = NULL;
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_events events = {.size = sizeof events, .data = &mutator, .out_of_memory = collects};
    OK(palimpsest_config_events(config, &events));
    OK(palimpsest_config_options(config, "poison=on"));
    palimpsest_heap *heap = heap_with(config);
    mutator = attach(heap);
    palimpsest_stats stats = {.size = sizeof stats};
    OK(palimpsest_heap_stats(heap, &stats));
    uint64_t const before = stats.cycles;

    void *object = palimpsest_alloc_no_safepoint(mutator, PALIMPSEST_LEAF, 100000);
    CHECK(object != NULL);
    memset(object, 5, 100000);
    CHECK(palimpsest_alloc_no_safepoint(mutator, PALIMPSEST_LEAF, (size_t)65 << 20) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_OUT_OF_MEMORY);
    CHECK(strstr(palimpsest_last_error(), "out of memory") != NULL);
    OK(palimpsest_heap_stats(heap, &stats));
    CHECK(stats.cycles == before);
    for (int at = 0; at < 100000; at++)
        CHECK(((unsigned char *)object)[at] == 5);

    // The same with a safepoint: the function is called.
    CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, (size_t)65 << 20) == NULL);
    OK(palimpsest_heap_stats(heap, &stats));
    CHECK(stats.cycles > before);
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
}

static void with_reserve(palimpsest_mutator *mutator, void *data)
{
    void **object = data;
    *object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 1000);
    FAILS(palimpsest_detach(mutator), PALIMPSEST_BLOCKED, "callback");
}

int main(void)
{
    struct heard heard = {0, 0};
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_events events = {.size = sizeof events, .data = &heard, .out_of_memory = out_of_memory};
    OK(palimpsest_config_events(config, &events));
    palimpsest_heap *heap = heap_with(config);
    palimpsest_mutator *mutator = attach(heap);

    enum { MOST = 1000 };
    static palimpsest_handle *handles[MOST];
    int many = 0;
    for (void *object; (object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 100000)) != NULL; many++) {
        CHECK(many < MOST);
        OK(palimpsest_handle_new(mutator, object, &handles[many]));
    }
    CHECK(palimpsest_last_status() == PALIMPSEST_OUT_OF_MEMORY);
    CHECK(strstr(palimpsest_last_error(), "out of memory") != NULL);
    CHECK(heard.times == 1 && heard.limit == (size_t)64 << 20);
    CHECK(many > 300);

    void *exception = NULL;
    OK(palimpsest_with_reserve(mutator, with_reserve, &exception));
    CHECK(exception != NULL);

    // The heap goes on working.
    for (int at = 0; at < many; at++)
        OK(palimpsest_handle_free(handles[at]));
    CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, 100000) != NULL);
    // Sizes that overflow are too large like others.
    CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, SIZE_MAX) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_OUT_OF_MEMORY);
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    no_safepoint();
    puts("memory: ok");
    return 0;
}
