// Native trace functions: a growing vector of references in native memory, and objects with a shape of their own.
#include "check.h"

// An object of the heap, whose elements lie in native memory.
struct vector {
    void **elements;
    uint64_t length;
};

static void trace_vector(const palimpsest_frozen *object, palimpsest_tracer *tracer, void *data)
{
    uint64_t words[2];
    (void)data;
    if (palimpsest_frozen_bytes(object) != sizeof words || palimpsest_frozen_address(object) % 16 != 0)
        abort();
    palimpsest_frozen_load(object, 0, words, 2);
    void *const *elements = (void *const *)(uintptr_t)words[0];
    for (uint64_t at = 0; at < words[1]; at++) {
        palimpsest_trace_object(tracer, (uintptr_t)elements[at]);
        if (at % 1000 == 999 && !palimpsest_trace_goes_on(tracer))
            return;
    }
}

// Three words: one for the codec, one that may lead into an object, one that is no reference whatever it looks like. What is
// beyond the end is 0.
static void trace_mixed(const palimpsest_frozen *object, palimpsest_tracer *tracer, void *data)
{
    uint64_t words[6];
    palimpsest_frozen_load(object, 0, words, 6);
    if (words[4] != 0 || words[5] != 0 || *(const int *)data != 42)
        abort();
    palimpsest_trace_word(tracer, words[1]);
    palimpsest_trace_conservative(tracer, words[2]);
}

static int answer = 42;

static palimpsest_layout by_header(uint64_t header, void *data)
{
    uint16_t number = *(const uint16_t *)data;
    palimpsest_layout layout = {0, PALIMPSEST_NO_TAIL, 0};
    // Headers of 3 have a function, those of 5 one that does not exist: all their words may be references.
    layout.traced_by = header == 3 ? number : header == 5 ? 1000 : 0;
    return layout;
}

int main(void)
{
    uint16_t number = 0;
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_trace(config, trace_mixed, &answer, &number));
    OK(palimpsest_config_layouts(config, by_header, &number));
    palimpsest_heap *heap = heap_with(config);
    palimpsest_mutator *mutator = attach(heap);
    palimpsest_kind kind = 0;
    OK(palimpsest_define_traced(heap, trace_vector, NULL, &kind));

    // The vector grows while cycles of the young run, which do not see that native memory is written to.
    enum { LENGTH = 20000 };
    struct vector *vector = palimpsest_alloc(mutator, kind, sizeof *vector);
    CHECK(vector != NULL);
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, vector, &handle));
    OK(palimpsest_external_register(mutator, vector, 7, NULL));
    vector->elements = malloc(LENGTH * sizeof *vector->elements);
    CHECK(vector->elements != NULL);
    for (uint64_t at = 0; at < LENGTH; at++) {
        uint64_t *element = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
        CHECK(element != NULL);
        *element = at;
        vector->elements[at] = element;
        vector->length = at + 1;
        if (at % 5000 == 0)
            OK(palimpsest_collect_young(mutator, NULL));
    }
    CHECK(marked(mutator) == 1 + LENGTH);
    for (uint64_t at = 0; at < LENGTH; at++)
        CHECK(*(uint64_t *)vector->elements[at] == at);
    vector->length = 10;
    CHECK(marked(mutator) == 1 + 10);

    // When it is dead it is found as any object with a finalizer is, and its native memory is freed.
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_collect(mutator, NULL));
    void *object = NULL;
    uint64_t token = 0;
    OK(palimpsest_finalizer_take(mutator, &object, &token));
    CHECK(object == vector && token == 7);
    free(vector->elements);
    vector->elements = NULL;
    vector->length = 0;
    CHECK(marked(mutator) == 0);

    // Headed objects that a function traces, and ones of which nobody knows anything.
    for (uint64_t header = 3; header <= 5; header += 2) {
        uint64_t *mixed = palimpsest_alloc(mutator, PALIMPSEST_HEADED, 32);
        CHECK(mixed != NULL);
        OK(palimpsest_handle_new(mutator, mixed, &handle));
        mixed[0] = header;
        for (int word = 1; word < 4; word++) {
            char *leaf = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 32);
            CHECK(leaf != NULL);
            mixed[word] = (uintptr_t)(word == 2 ? leaf + 17 : leaf);
        }
        CHECK(marked(mutator) == (header == 3 ? 1 + 2 : 1 + 3));
        OK(palimpsest_handle_free(handle));
    }

    FAILS(palimpsest_define_traced(heap, NULL, NULL, &kind), PALIMPSEST_NULL, "function is NULL");
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("trace: ok");
    return 0;
}
