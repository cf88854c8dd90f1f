// The shortest program: a list that the thread's own stack keeps alive, and that a cycle does not touch.
#include "check.h"

struct cell {
    uint64_t number;
    struct cell *next;
};

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = NULL;
    OK(palimpsest_attach(heap, true, &mutator));
    palimpsest_kind kind = 0;
    OK(palimpsest_define_layout(heap, 2, PALIMPSEST_NO_TAIL, &kind));
    struct cell *volatile list = NULL;
    for (uint64_t number = 0; number < 100000; number++) {
        struct cell *cell = palimpsest_alloc(mutator, kind, sizeof *cell);
        CHECK(cell != NULL && cell->number == 0 && cell->next == NULL);
        cell->number = number;
        cell->next = list;
        list = cell;
    }
    CHECK(marked(mutator) >= 100000);
    uint64_t sum = 0;
    for (struct cell *cell = list; cell != NULL; cell = cell->next)
        sum += cell->number;
    CHECK(sum == 4999950000);
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    printf("hello: %llu\n", (unsigned long long)sum);
    return 0;
}
