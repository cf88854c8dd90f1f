// Nanoseconds of the monotonic clock.
#ifndef PEER_CLOCK_H
#define PEER_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { SECOND = 1000000000 };

static inline uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

#endif
