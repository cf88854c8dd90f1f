// The workloads of the Rust program `workload` on another allocator, one a run, with one line of JSON as the result.
//
// What makes them comparable: the same objects in the same order from the same random numbers, so the checksum of what was read
// through pointers is equal everywhere, and the same figures under the same names. Compiled once for each peer: PEER_HEAP names the
// header that has its allocator (heap.h). To read a workload, start with gcbench.c.
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "report.h"

struct size {
    const char *name;
    uint64_t usual, least, most;
};

static const struct workload {
    const char *name;
    struct outcome (*run)(const uint64_t *sizes);
    const char *about;
    struct size sizes[MOST_SIZES];
} WORKLOADS[] = {
    {"gcbench", gcbench, "binary trees of many depths, up to MAX, beside a live one of depth LIVE", {{"LIVE", 18, 1, 28}, {"MAX", 20, 1, 28}}},
    {"binarytrees", binarytrees, "nothing but small short-lived objects: trees up to depth N", {{"N", 18, 1, 28}, {"THREADS", 1, 1, 16}}},
    {"msgmap", msgmap, "WINDOW live messages with payloads, replaced TIMES times", {{"WINDOW", 200000, 1, UINT32_MAX}, {"TIMES", 10, 2, UINT32_MAX}}},
    {"graph", graph, "OPS random pointer writes (0: one a node) all over a live graph of MIB MiB", {{"MIB", 512, 1, 1 << 18}, {"OPS", 0, 0, UINT64_MAX}}},
    {"larson", larson, "THREADS tables of SLOTS blocks of 16 to 1024 bytes, replaced by one thread after another, ROUNDS of them", {{"THREADS", 2, 1, 64}, {"SLOTS", 10000, 1, 10000000}, {"ROUNDS", 200, 1, UINT32_MAX}}},
    {"server", server, "RATE requests a second (0: back to back) at fixed times for SESSIONS live sessions; metered from their arrival", {{"SESSIONS", 20000, 1, 10000000}, {"REQUESTS", 300000, 0, UINT64_MAX}, {"RATE", 50000, 0, UINT32_MAX}, {"THREADS", 1, 1, 64}}},
    {"churn", churn, "OPS short-lived nodes (0: two a node) beside MIB MiB of trees; WRITES of 1000 operations write to an old node", {{"MIB", 256, 1, 1 << 20}, {"WRITES", 100, 0, 1000}, {"OPS", 0, 0, UINT64_MAX}, {"THREADS", 1, 1, 64}}},
};

enum { COUNT = sizeof WORKLOADS / sizeof *WORKLOADS };

void out_of_memory(void)
{
    fprintf(stderr, NAME ": no memory: choose smaller sizes\n");
    exit(1);
}

static void help(FILE *to)
{
    fprintf(to, "Runs one workload on " NAME " and prints one line of JSON.\n\nUsage: peer-" NAME " WORKLOAD [SIZES]\n\nWorkloads, with their sizes' defaults:\n");
    for (int k = 0; k < COUNT; k++) {
        fprintf(to, "  %s", WORKLOADS[k].name);
        for (const struct size *size = WORKLOADS[k].sizes; size < WORKLOADS[k].sizes + MOST_SIZES && size->name; size++)
            fprintf(to, " %s=%llu", size->name, (unsigned long long)size->usual);
        fprintf(to, "\n      %s\n", WORKLOADS[k].about);
    }
    fprintf(to, "\n`workload WORKLOAD --help` says of each what it does. The variable PEER replaces the name in the result.\n");
    if (strcmp(NAME, "bdwgc") == 0)
        fprintf(to, "GC_MARKERS=2 marks with two threads (one is the default here), GC_ENABLE_INCREMENTAL=1 in steps.\n");
}

_Noreturn static void refuse(const char *what, const char *argument)
{
    fprintf(stderr, "peer-" NAME ": %s: `%s`; --help lists the workloads and their sizes\n", what, argument);
    exit(2);
}

static uint64_t read_size(const struct size *size, const char *argument)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(argument, &end, 10);
    bool is_number = argument[0] >= '0' && argument[0] <= '9' && *end == '\0' && errno == 0;
    if (!is_number || value < size->least || value > size->most)
        refuse(size->name, argument);
    return value;
}

static const struct workload *find(const char *name)
{
    for (int k = 0; k < COUNT; k++)
        if (strcmp(name, WORKLOADS[k].name) == 0)
            return &WORKLOADS[k];
    refuse("no such workload", name);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const struct workload *workload = find(argv[1]);
    uint64_t sizes[MOST_SIZES];
    char params[128] = "";
    int given = 2;
    for (int k = 0; k < MOST_SIZES && workload->sizes[k].name != NULL; k++) {
        sizes[k] = given < argc ? read_size(&workload->sizes[k], argv[given++]) : workload->sizes[k].usual;
        size_t at = strlen(params);
        snprintf(params + at, sizeof params - at, "%s%llu", k > 0 ? " " : "", (unsigned long long)sizes[k]);
    }
    if (given < argc)
        refuse("one size too many", argv[given]);
    heap_begin();
    origin = now();
    struct outcome outcome = workload->run(sizes);
    double wall_s = (double)(now() - origin) / SECOND;
    report(workload->name, params, wall_s, &outcome);
    return 0;
}
