// Options: what is wrong with one is said when it is given, or when the heap is made.
#include "check.h"

int main(void)
{
    palimpsest_config *config = palimpsest_config_new();
    palimpsest_heap *heap = NULL;
    size_t limit = 0;

    FAILS(palimpsest_config_options(config, "limt=32M"), PALIMPSEST_BAD_OPTION, "did you mean `limit`?");
    FAILS(palimpsest_config_options(config, "limit=much"), PALIMPSEST_BAD_OPTION, "limit=much");
    FAILS(palimpsest_config_options(config, NULL), PALIMPSEST_NULL, "options is NULL");
    FAILS(palimpsest_config_options(config, "limit=\xff"), PALIMPSEST_INVALID, "UTF-8");
    FAILS(palimpsest_config_rung(config, "moon"), PALIMPSEST_BAD_OPTION, "moon");

    OK(palimpsest_config_options(config, "limit=32M"));
    OK(palimpsest_config_options(config, ""));
    OK(palimpsest_config_options(config, "limit=48M,cycle-every=4M"));
    OK(palimpsest_heap_new(config, &heap));
    OK(palimpsest_heap_limit(heap, &limit));
    CHECK(limit == (size_t)48 << 20);
    OK(palimpsest_heap_free(heap));

    // The call goes before the string; and one configuration makes several heaps.
    OK(palimpsest_config_limit(config, (size_t)16 << 20));
    OK(palimpsest_config_rung(config, "stw"));
    OK(palimpsest_heap_new(config, &heap));
    OK(palimpsest_heap_limit(heap, &limit));
    CHECK(limit == (size_t)16 << 20);
    char rung[64];
    OK(palimpsest_heap_text(heap, PALIMPSEST_TEXT_RUNG, rung, sizeof rung, NULL));
    CHECK(strncmp(rung, "stw", 3) == 0);
    OK(palimpsest_heap_free(heap));

    OK(palimpsest_config_limit(config, 1));
    heap = NULL;
    FAILS(palimpsest_heap_new(config, &heap), PALIMPSEST_BAD_OPTION, "limit");
    CHECK(heap == NULL);
    OK(palimpsest_config_free(config));
    puts("options: ok");
    return 0;
}
