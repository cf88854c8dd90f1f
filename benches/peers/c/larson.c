// Larson and Krishnan's server: threads that replace blocks which threads before them have allocated.
#include "random.h"
#include "threads.h"
#include "words.h"
#include "workloads.h"

// Words of the smallest block, and how many sizes there are: 16 to 1024 bytes.
enum { LEAST_WORDS = 2, SIZES = 127 };

// What a thread hands on to the next one. Each operation writes to it, so no two of them share a cache line: in the Rust program each is
// on its thread's stack. (128, as processors fetch neighbouring lines in pairs.)
struct line {
    _Alignas(128) uint64_t **table;
    uint64_t slots, rounds, blocks, sum;
    struct random random;
    struct latency *latency;
};

static struct line lines[MOST_THREADS];

// Lines that have not ended.
static unsigned left;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;

static uint64_t *block(struct line *line)
{
    uint64_t len = LEAST_WORDS + below(&line->random, SIZES);
    return new_words(len, ++line->blocks);
}

static void *serve(void *data);

static void start(struct line *line)
{
    pthread_attr_t attributes;
    pthread_t id;
    must(pthread_attr_init(&attributes), "preparing a thread");
    must(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), "preparing a thread");
    must(pthread_create(&id, &attributes, serve, line), "starting a thread");
    must(pthread_attr_destroy(&attributes), "preparing a thread");
}

// One thread's life: a round, and then a new thread for what is left.
static void *serve(void *data)
{
    struct line *line = data;
    if (line->blocks == 0)
        for (uint64_t slot = 0; slot < line->slots; slot++)
            line->table[slot] = block(line);
    latency_skip(line->latency);
    for (uint64_t op = 0; op < line->slots; op++) {
        uint64_t slot = below(&line->random, line->slots), *fresh = block(line), *old = line->table[slot];
        line->table[slot] = fresh;
        line->sum += read_words(old);
        drop(old);
        latency_lap(line->latency);
    }
    if (--line->rounds > 0) {
        start(line);
        return NULL;
    }
    must(pthread_mutex_lock(&lock), "locking");
    left--;
    must(pthread_cond_signal(&ended), "telling that a line has ended");
    must(pthread_mutex_unlock(&lock), "unlocking");
    return NULL;
}

struct outcome larson(const uint64_t *sizes)
{
    unsigned threads = (unsigned)sizes[0];
    uint64_t slots = sizes[1], sum = 0;
    left = threads;
    for (unsigned k = 0; k < threads; k++) {
        lines[k] = (struct line){new_table(slots), slots, sizes[2], 0, 0, random_of(k), latency_start(threads)};
        start(&lines[k]);
    }
    must(pthread_mutex_lock(&lock), "locking");
    while (left > 0)
        must(pthread_cond_wait(&ended, &lock), "waiting for the lines");
    must(pthread_mutex_unlock(&lock), "unlocking");

    struct latency *latency = latency_start(threads);
    for (unsigned k = 0; k < threads; k++) {
        sum += lines[k].sum;
        latency_merge(latency, lines[k].latency);
        for (uint64_t slot = 0; slot < slots; slot++)
            sum += read_words(lines[k].table[slot]);
    }
    return (struct outcome){.checksum = sum, .latency = latency};
}
