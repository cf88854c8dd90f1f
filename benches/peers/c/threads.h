// Several threads of one workload. Whoever starts a thread includes this and not pthread.h: a collector has to know of it.
#ifndef PEER_THREADS_H
#define PEER_THREADS_H

#include "heap.h"

#include <pthread.h>

// Calls `work` on so many threads, with the number of each, and waits for them. Thread 0 is the caller's.
void on_each(unsigned threads, void (*work)(unsigned thread, void *data), void *data);

// Ends the program: what a call of pthread's has returned.
void must(int error, const char *what);

#endif
