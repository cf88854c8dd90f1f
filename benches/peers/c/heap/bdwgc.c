// How bdwgc is set up, and when it stopped the world: it calls back before it stops the threads and after it let them go.
#include "heap.h"

#include <stdlib.h>

#include "clock.h"
#include "room.h"

// Pauses that are kept; all of them are counted. In steps there can be many.
enum { MOST = 1 << 20 };

static struct span *pauses;
static uint64_t stopped_at, count, longest;

// Collections that it had made before the workload began.
static GC_word before;

static void on_event(GC_EventType event)
{
    if (event == GC_EVENT_PRE_STOP_WORLD) {
        stopped_at = now();
    } else if (event == GC_EVENT_POST_START_WORLD) {
        uint64_t length = now() - stopped_at;
        if (count < MOST)
            pauses[count] = (struct span){stopped_at, length};
        count++;
        longest = length > longest ? length : longest;
    }
}

void heap_begin(void)
{
    pauses = room(MOST * sizeof *pauses);
    // What is given in the environment counts.
    setenv("GC_MARKERS", "1", 0);
    // Objects of 16 bytes take 16 bytes, as none has to have room for a pointer behind its end.
    GC_set_all_interior_pointers(0);
    GC_INIT();
    // It would start them with the second thread only, and so mark alone in a program of one.
    GC_start_mark_threads();
    GC_set_on_collection_event(on_event);
    before = GC_get_gc_no();
}

void heap_report(FILE *to)
{
    fprintf(to, "\"alloc_mib\":%.1f,\"gcs\":%lu,\"gc_max_pause_ms\":%.6f,\"pauses_ms\":",
            (double)GC_get_total_bytes() / (1 << 20), (unsigned long)(GC_get_gc_no() - before), (double)longest / 1e6);
    print_spans(to, pauses, count < MOST ? count : MOST);
    unsigned version = GC_get_version();
    fprintf(to, ",\"gc\":{\"version\":\"%u.%u.%u\",\"markers\":%d,\"incremental\":%s,\"pauses_left_out\":%llu,\"heap_mib\":%.1f},",
            version >> 16, version >> 8 & 255, version & 255, GC_get_parallel() + 1,
            GC_is_incremental_mode() ? "true" : "false", (unsigned long long)(count < MOST ? 0 : count - MOST),
            (double)GC_get_heap_size() / (1 << 20));
}
