// A server that answers requests which arrive at fixed times, whether or not the ones before are done.
//
// A session belongs to one thread, and a request to its session's: so sessions change in the order of arrival, and the checksum
// depends neither on the number of threads nor on time.
#include <errno.h>
#include <sys/prctl.h>

#include "server/session.h"
#include "threads.h"
#include "workloads.h"

// What is nearer than this, in nanoseconds, is waited for awake; threads are woken about as exactly as this says.
enum { NEAR = 20000, SLACK = 1000 };

static struct session **table;

struct work {
    uint64_t sessions, requests, rate, start;
    unsigned threads;
    uint64_t sums[MOST_THREADS];
    struct latency *metered[MOST_THREADS], *service[MOST_THREADS];
};

// Waits until then; the time when that is over.
static uint64_t wait_until(uint64_t arrival)
{
    for (;;) {
        uint64_t at = now();
        if (at >= arrival)
            return at;
        if (arrival - at < NEAR)
            continue;
        struct timespec until = {(time_t)(arrival / SECOND), (long)(arrival % SECOND)};
        int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        // A collector that stops its threads with signals wakes them.
        if (error != EINTR)
            must(error, "sleeping");
    }
}

static void serve_all(unsigned thread, void *data)
{
    struct work *work = data;
    struct latency *metered = latency_start(work->threads), *service = latency_start(work->threads);
    uint64_t sum = 0;
    // Where the kernel does not know it, threads wake later, with every peer.
    prctl(PR_SET_TIMERSLACK, SLACK);
    for (uint64_t number = 0; number < work->requests; number++) {
        struct random random = random_of(number);
        uint64_t index = below(&random, work->sessions);
        if (index % work->threads != thread)
            continue;
        uint64_t arrival = work->rate > 0 ? work->start + number * SECOND / work->rate : 0;
        uint64_t begin = wait_until(arrival);
        sum += serve(table[index], &random, number);
        uint64_t end = now();
        latency_add(service, begin, end);
        latency_add(metered, work->rate > 0 ? arrival : begin, end);
    }
    work->sums[thread] = sum;
    work->metered[thread] = metered;
    work->service[thread] = service;
}

struct outcome server(const uint64_t *sizes)
{
    struct work work = {sizes[0], sizes[1], sizes[2], 0, (unsigned)sizes[3], {0}, {NULL}, {NULL}};
    uint64_t start = now();
    table = new_table(work.sessions);
    for (uint64_t index = 0; index < work.sessions; index++) {
        struct random random = random_of(index);
        table[index] = session_open(&random);
    }
    work.start = now();
    struct outcome outcome = {.build_s = (double)(work.start - start) / SECOND};

    on_each(work.threads, serve_all, &work);
    outcome.latency = latency_start(work.threads);
    outcome.service = latency_start(work.threads);
    for (unsigned k = 0; k < work.threads; k++) {
        outcome.checksum += work.sums[k];
        latency_merge(outcome.latency, work.metered[k]);
        latency_merge(outcome.service, work.service[k]);
    }
    return outcome;
}
