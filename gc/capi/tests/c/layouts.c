// Layouts and codecs: which words are references is data.
#include "check.h"

static volatile uint64_t root[1];

static palimpsest_mutator *mutator;
static palimpsest_heap *heap;
static palimpsest_roots *roots;

static void begin(palimpsest_codec codec, palimpsest_layout_function layouts, void *data)
{
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_codec(config, codec));
    OK(palimpsest_config_layouts(config, layouts, data));
    heap = heap_with(config);
    mutator = attach(heap);
    root[0] = 0;
    OK(palimpsest_roots_fixed(heap, (const uint64_t *)root, 1, &roots));
}

static void end(void)
{
    OK(palimpsest_roots_free(roots));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
}

static uint64_t *new_object(palimpsest_kind kind, size_t words)
{
    uint64_t *object = palimpsest_alloc(mutator, kind, words * 8);
    CHECK(object != NULL);
    return object;
}

// An object of `words` words each of which refers to a leaf object by `tag`.
static uint64_t *full(palimpsest_kind kind, size_t words, uint64_t tag)
{
    uint64_t *object = new_object(kind, words);
    root[0] = (uintptr_t)object | tag;
    for (size_t word = 0; word < words; word++)
        object[word] = (uintptr_t)new_object(PALIMPSEST_LEAF, 2) | tag;
    return object;
}

static palimpsest_layout by_header(uint64_t header, void *data)
{
    // The header is the number of references behind it, times two: no reference by the codec of this test.
    palimpsest_layout layout = {.mask = ((UINT64_C(1) << (header / 2 % 32)) - 1) << 1, .tail = PALIMPSEST_NO_TAIL};
    (void)data;
    return layout;
}

int main(void)
{
    palimpsest_kind kind = 0;

    begin(palimpsest_codec_pointers(), NULL, NULL);
    full(PALIMPSEST_UNIFORM, 8, 0);
    CHECK(marked(mutator) == 9);
    OK(palimpsest_define_layout(heap, 0x0a, 6, &kind));
    full(kind, 8, 0);
    // Words 1 and 3, and those from 6 on.
    CHECK(marked(mutator) == 1 + 4);
    full(PALIMPSEST_CONSERVATIVE, 8, 0)[0] += 5;
    CHECK(marked(mutator) == 9);
    full(PALIMPSEST_LEAF, 8, 0);
    CHECK(marked(mutator) == 1);
    end();

    begin(palimpsest_codec_low_tag(1, 1), NULL, NULL);
    full(PALIMPSEST_UNIFORM, 8, 1)[2] -= 1;
    CHECK(marked(mutator) == 8);
    end();

    begin(palimpsest_codec_high_tag(16, UINT64_C(0xfffc000000000000)), NULL, NULL);
    full(PALIMPSEST_UNIFORM, 8, UINT64_C(0xfffc000000000000))[2] ^= UINT64_C(1) << 63;
    CHECK(marked(mutator) == 8);
    end();

    begin(palimpsest_codec_low_tag(1, 1), by_header, NULL);
    full(PALIMPSEST_HEADED, 8, 1)[0] = 2 * 3;
    CHECK(marked(mutator) == 1 + 3);
    end();

    puts("layouts: ok");
    return 0;
}
