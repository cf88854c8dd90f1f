// System calls that write to a traced object succeed under the guard.
#include "check.h"

#include <unistd.h>

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);
    char *object = palimpsest_alloc(mutator, PALIMPSEST_CONSERVATIVE, 8192);
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, object, &handle));
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    for (int round = 0; round < 10; round++) {
        CHECK(marked(mutator) == 1);
        palimpsest_kernel_io *io = NULL;
        OK(palimpsest_kernel_io_begin(mutator, object, 8192, &io));
        CHECK(write(pipes[1], "some bytes", 11) == 11);
        CHECK(read(pipes[0], object + 4096, 4096) == 11);
        OK(palimpsest_kernel_io_end(io));
        CHECK(strcmp(object + 4096, "some bytes") == 0);
    }
    palimpsest_kernel_io *io = NULL;
    char local[16];
    FAILS(palimpsest_kernel_io_begin(mutator, local, sizeof local, &io), PALIMPSEST_NOT_AN_OBJECT, "not memory of this heap");
    FAILS(palimpsest_kernel_io_begin(mutator, object, SIZE_MAX, &io), PALIMPSEST_NOT_AN_OBJECT, "not memory of this heap");
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("kernel_io: ok");
    return 0;
}
