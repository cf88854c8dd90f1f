#include "room.h"

#include <sys/mman.h>

#include "heap.h"

uint64_t origin;

void *room(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        out_of_memory();
    return memory;
}

void print_spans(FILE *to, const struct span *spans, size_t count)
{
    fputc('[', to);
    for (size_t k = 0; k < count; k++) {
        // What a collector did before the workload began has a negative time.
        double from = (double)(int64_t)(spans[k].from - origin) / 1e6;
        fprintf(to, "%s[%.3f,%.6f]", k > 0 ? "," : "", from, (double)spans[k].length / 1e6);
    }
    fputc(']', to);
}
