// A histogram of times: 32 equal steps for each power of two, single nanoseconds below 32, and the exact maximum. Of operations that
// took a tenth of a millisecond it keeps when they began.
#ifndef PEER_LATENCY_H
#define PEER_LATENCY_H

#include "clock.h"
#include "room.h"

enum { STEPS = 32, BUCKETS = 60 * STEPS, SLOW = 100000, MOST_SLOW = 100000 };

struct latency {
    uint64_t buckets[BUCKETS];
    uint64_t count, longest, last;
    struct span *slow;
    uint64_t slow_count, slow_most, slow_left_out;
};

// An empty one, for one of so many threads, which share the room for slow operations. The first operation starts now.
struct latency *latency_start(unsigned threads);

// Adds what another thread has timed.
void latency_merge(struct latency *to, const struct latency *from);

// The time that this portion of operations did not exceed, in milliseconds.
double latency_quantile_ms(const struct latency *latency, double portion);

void latency_note_slow(struct latency *latency, uint64_t from, uint64_t length);

// An operation began and ended then.
static inline void latency_add(struct latency *latency, uint64_t from, uint64_t to)
{
    uint64_t time = to - from;
    unsigned power = time < STEPS ? 0 : 63 - (unsigned)__builtin_clzll(time);
    latency->buckets[time < STEPS ? time : (power - 4) * STEPS + (time >> (power - 5)) % STEPS]++;
    latency->count++;
    if (time > latency->longest)
        latency->longest = time;
    if (__builtin_expect(time >= SLOW, 0))
        latency_note_slow(latency, from, time);
}

// The next operation starts now, whatever was done since the last one ended.
static inline void latency_skip(struct latency *latency) { latency->last = now(); }

// An operation has ended, and the next one starts.
static inline void latency_lap(struct latency *latency)
{
    uint64_t at = now();
    latency_add(latency, latency->last, at);
    latency->last = at;
}

#endif
