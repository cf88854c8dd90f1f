// The result: one line of JSON, with the names that the Rust program uses.
#ifndef PEER_REPORT_H
#define PEER_REPORT_H

#include "workloads.h"

// Prints it on standard output, with the process' figures as of now.
void report(const char *workload, const char *params, double wall_s, const struct outcome *outcome);

#endif
