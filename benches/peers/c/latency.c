#include "latency.h"

#include <stdlib.h>
#include <string.h>

struct latency *latency_start(unsigned threads)
{
    struct latency *latency = room(sizeof *latency);
    latency->slow_most = MOST_SLOW / threads;
    // For all threads, since what they have is merged into one.
    latency->slow = room(MOST_SLOW * sizeof *latency->slow);
    latency->last = now();
    return latency;
}

void latency_note_slow(struct latency *latency, uint64_t from, uint64_t length)
{
    if (latency->slow_count < latency->slow_most)
        latency->slow[latency->slow_count++] = (struct span){from, length};
    else
        latency->slow_left_out++;
}

static int by_time(const void *one, const void *other)
{
    uint64_t a = ((const struct span *)one)->from, b = ((const struct span *)other)->from;
    return (a > b) - (a < b);
}

void latency_merge(struct latency *to, const struct latency *from)
{
    for (int k = 0; k < BUCKETS; k++)
        to->buckets[k] += from->buckets[k];
    to->count += from->count;
    if (from->longest > to->longest)
        to->longest = from->longest;
    // Each thread's part is at most its share, so all of them together fit.
    memcpy(to->slow + to->slow_count, from->slow, from->slow_count * sizeof *from->slow);
    to->slow_count += from->slow_count;
    to->slow_left_out += from->slow_left_out;
    qsort(to->slow, to->slow_count, sizeof *to->slow, by_time);
}

static double lower_end_ms(uint64_t bucket)
{
    uint64_t nanoseconds = bucket < STEPS ? bucket : (STEPS + bucket % STEPS) << (bucket / STEPS - 1);
    return (double)nanoseconds / 1e6;
}

double latency_quantile_ms(const struct latency *latency, double portion)
{
    uint64_t rank = (uint64_t)(portion * (double)latency->count), seen = 0;
    for (uint64_t k = 0; k < BUCKETS; k++) {
        seen += latency->buckets[k];
        if (seen > rank)
            return lower_end_ms(k);
    }
    return 0;
}
