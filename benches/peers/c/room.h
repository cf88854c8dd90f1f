// Memory for what is measured: mapped, and populated when it is used. It is not the allocator's, so it does not change what that
// does; and a conservative collector does not take its numbers for pointers.
#ifndef PEER_ROOM_H
#define PEER_ROOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void *room(size_t bytes);

// Something that took time: when it began, by the clock, and for how long. In nanoseconds.
struct span {
    uint64_t from, length;
};

// When the workload began. Spans are printed in milliseconds from here.
extern uint64_t origin;

// Prints spans as pairs in JSON.
void print_spans(FILE *to, const struct span *spans, size_t count);

#endif
