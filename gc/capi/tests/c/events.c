// Events and statistics.
#include "check.h"

#include <stdatomic.h>

struct heard {
    atomic_int made, began, pauses, ended, explicit_ones;
    char rung[200];
    palimpsest_heap *heap;
    palimpsest_mutator *mutator;
};

static void heap_made(const char *rung, const char *degraded, void *data)
{
    struct heard *heard = data;
    (void)degraded;
    snprintf(heard->rung, sizeof heard->rung, "%s", rung);
    heard->made++;
}

static void cycle_began(uint64_t cycle, palimpsest_reason reason, bool young, void *data)
{
    struct heard *heard = data;
    CHECK(cycle == (uint64_t)++heard->began);
    (void)young;
    heard->explicit_ones += reason == PALIMPSEST_REASON_EXPLICIT;
}

static void pause_ended(const palimpsest_pause *pause, void *data)
{
    struct heard *heard = data;
    CHECK(pause->size == sizeof *pause && pause->cycle == (uint64_t)heard->began && pause->pause_ms > 0);
    CHECK(pause->began_ms > 0);
    heard->pauses++;
}

static void cycle_ended(const palimpsest_cycle *cycle, const char *line, void *data)
{
    struct heard *heard = data;
    char begin[40];
    snprintf(begin, sizeof begin, "cycle %d ", heard->began);
    CHECK(cycle->size == sizeof *cycle && strncmp(line, begin, strlen(begin)) == 0);
    double age = 0;
    OK(palimpsest_heap_age(heard->heap, &age));
    CHECK(0 < cycle->began_ms && cycle->began_ms <= cycle->pause_began_ms);
    CHECK(cycle->pause_began_ms < cycle->ended_ms && cycle->ended_ms <= age);
    FAILS(palimpsest_heap_age(heard->heap, NULL), PALIMPSEST_NULL, "ms");
    heard->ended++;
    // Statistics may be asked for; a mutator may not be used on this thread, nor one be made.
    palimpsest_stats stats = {.size = sizeof stats};
    palimpsest_mutator *own = NULL;
    OK(palimpsest_heap_stats(heard->heap, &stats));
    CHECK(stats.cycles == cycle->number);
    FAILS(palimpsest_collect(heard->mutator, NULL), PALIMPSEST_WRONG_THREAD, "another thread");
    FAILS(palimpsest_attach(heard->heap, false, &own), PALIMPSEST_WRONG_THREAD, "cannot attach");
}

int main(void)
{
    static struct heard heard;
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_events events = {.size = sizeof events, .data = &heard};
    events.heap_made = heap_made;
    events.cycle_began = cycle_began;
    events.pause_ended = pause_ended;
    events.cycle_ended = cycle_ended;
    OK(palimpsest_config_events(config, &events));
    // Nobody listens to these.
    palimpsest_events none = {.size = sizeof none};
    OK(palimpsest_config_events(config, &none));
    palimpsest_heap *heap = heap_with(config);
    palimpsest_mutator *mutator = attach(heap);
    heard.heap = heap;
    heard.mutator = mutator;
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, palimpsest_alloc(mutator, PALIMPSEST_LEAF, 100), &handle));
    for (int at = 0; at < 3; at++)
        CHECK(marked(mutator) == 1);
    CHECK(heard.made == 1 && heard.began == 3 && heard.explicit_ones == 3 && heard.ended == 3 && heard.pauses >= 3);

    palimpsest_stats stats = {.size = sizeof stats};
    OK(palimpsest_heap_stats(heap, &stats));
    CHECK(stats.size == sizeof stats && stats.cycles == 3 && stats.marked_objects == 3 && stats.pause_max_ms > 0);
    CHECK(stats.limit_bytes == (uint64_t)64 << 20 && stats.used_bytes > 0);

    // A program of a later version knows of more; what the library does not, it leaves alone.
    struct {
        palimpsest_stats known;
        uint64_t later;
    } more = {.known = {.size = sizeof more}, .later = 17};
    OK(palimpsest_heap_stats(heap, &more.known));
    CHECK(more.known.size == sizeof stats && more.later == 17 && more.known.cycles == 3);
    stats.size = 8;
    FAILS(palimpsest_heap_stats(heap, &stats), PALIMPSEST_INVALID, "sizeof(palimpsest_stats)");

    palimpsest_footprint footprint = {.size = sizeof footprint};
    OK(palimpsest_heap_footprint(heap, &footprint));
    CHECK(footprint.resident > 0 && footprint.heap > 0 && footprint.resident >= footprint.heap);

    char text[2000] = "";
    size_t needed = 0;
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_RUNG, text, sizeof text, &needed));
    CHECK(needed == strlen(text) + 1 && strcmp(text, heard.rung) == 0);
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_RUNG, text, 3, NULL));
    CHECK(strlen(text) == 2 && strncmp(text, heard.rung, 2) == 0);
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_STATS, NULL, 0, &needed));
    CHECK(needed > 100);
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_OPTIONS, text, sizeof text, NULL));
    CHECK(strstr(text, "limit=64M") != NULL);
    FAILS(palimpsest_heap_text(heap, 99, text, sizeof text, NULL), PALIMPSEST_INVALID, "99 is no text");

    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("events: ok");
    return 0;
}
