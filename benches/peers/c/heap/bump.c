// Chunks of fresh memory for threads.
//
// It stops before the machine has no memory left, where the kernel would end some process, and not necessarily this one.
#include "heap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 16 << 20 };

_Thread_local char *bump_next, *bump_end;

static _Atomic size_t mapped, most;

void heap_begin(void) { most = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 5 * 4; }

void *bump_more(size_t size)
{
    // A large object has memory of its own: the thread goes on with its chunk.
    int large = size > CHUNK / 4;
    size_t bytes = large ? (size + 4095) & ~(size_t)4095 : CHUNK;
    if (atomic_fetch_add(&mapped, bytes) + bytes > most) {
        fprintf(stderr, NAME ": never frees, and would need more than %zu MiB: choose smaller sizes\n", most >> 20);
        exit(1);
    }
    char *chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED)
        out_of_memory();
    // Where the kernel has no huge pages, small ones do.
    madvise(chunk, bytes, MADV_HUGEPAGE);
    if (!large) {
        bump_next = chunk + size;
        bump_end = chunk + bytes;
    }
    return chunk;
}

void heap_report(FILE *to)
{
    fprintf(to, "\"alloc_mib\":%.1f,\"gcs\":0,\"pauses_ms\":[],\"gc\":null,", (double)mapped / (1 << 20));
}
