// The workloads. Each takes its sizes as on the command line; what it does is said there (main.c), and in the Rust program.
#ifndef PEER_WORKLOADS_H
#define PEER_WORKLOADS_H

#include <stdint.h>

#include "latency.h"

enum { MOST_SIZES = 4, MOST_THREADS = 64 };

struct outcome {
    // Of what was read through pointers.
    uint64_t checksum;
    // Seconds, where a workload builds something before it begins; otherwise 0.
    double build_s;
    // The times of the operations, where it times any; for a server those from the scheduled arrival.
    struct latency *latency;
    // For a server, those that requests were worked at.
    struct latency *service;
};

struct outcome gcbench(const uint64_t *sizes);
struct outcome binarytrees(const uint64_t *sizes);
struct outcome msgmap(const uint64_t *sizes);
struct outcome graph(const uint64_t *sizes);
struct outcome larson(const uint64_t *sizes);
struct outcome server(const uint64_t *sizes);
struct outcome churn(const uint64_t *sizes);

#endif
