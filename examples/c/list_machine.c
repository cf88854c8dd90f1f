// A small list machine: a reader, an evaluator and a printer for S-expressions, whose cells are objects of the collector.
//
// It shows what an interpreter in C does: how its words are tagged, how it tells the collector where its references are, and that it
// writes to old objects with plain stores. It is the code of the guide, beside the same machine in Rust:
// `examples/embedding/examples/list_machine.rs`.
//
// Reads expressions from standard input, or runs a program of its own: `./list_machine demo`. Before that, `--gc-log` shows every
// cycle, and `--gc stress=1000` gives options to the collector.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "palimpsest.h"

// guide: words
// A word: a number if its lowest bit is 1, otherwise the address of an object, or 0, the empty list. To the collector that is
// palimpsest_codec_low_tag(1, 0).
typedef uint64_t value;

enum { NIL = 0, DEPTH = 65536 };

// The first word of every object says what it is. Its lowest bit is 1, so it is no reference.
enum { SYMBOL = 1, PAIR = 3, PRIMITIVE = 5, CLOSURE = 7, VECTOR = 9 };

struct pair {
    uint64_t tag;
    value first, rest;
};

// What the words of an object are, by its header. The collector asks in another process.
static palimpsest_layout layout(uint64_t header, void *data)
{
    palimpsest_layout layout = {0, PALIMPSEST_NO_TAIL, 0};
    if (header == PAIR || header == CLOSURE)
        layout.mask = 1 << 1 | 1 << 2;
    else if (header == VECTOR)
        layout.traced_by = *(const uint16_t *)data;
    return layout;
}
// end guide

struct symbol {
    uint64_t tag;
    char name[];
};

struct primitive {
    uint64_t tag;
    value (*function)(value first, value second);
};

// guide: trace
// The items are in native memory.
struct vector {
    uint64_t tag;
    value *items;
    uint64_t length, capacity;
};

// Runs in another process, or in the stopped world. It allocates nothing, and takes no lock.
static void trace_vector(const palimpsest_frozen *object, palimpsest_tracer *tracer, void *data)
{
    struct vector vector;
    (void)data;
    // The items are as they were when the snapshot was taken, and so is the length.
    palimpsest_frozen_load(object, 0, (uint64_t *)&vector, sizeof vector / 8);
    for (uint64_t at = 0; at < vector.length; at++) {
        if (at % 1024 == 1023 && !palimpsest_trace_goes_on(tracer))
            return;
        palimpsest_trace_word(tracer, vector.items[at]);
    }
}
// end guide

static uint16_t vectors;
static palimpsest_heap *heap;
static palimpsest_mutator *mutator;

// The machine's stack, a root range: whatever is needed after an allocation is on it. And the global variables, an association list.
static value stack[DEPTH];
static value *volatile top = stack;
static volatile value variables_of_all;

static void fail(const char *what)
{
    fprintf(stderr, "list_machine: %s\n", what);
    exit(1);
}

static void must(palimpsest_status status)
{
    if (status != PALIMPSEST_OK)
        fail(palimpsest_last_error());
}

static void *grown(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (memory == NULL)
        fail("there is no memory");
    return memory;
}

// A volatile store: the collector reads it where the compiler sees nobody do so.
static value push(value v)
{
    if (top == stack + DEPTH)
        fail("the stack is full");
    *(volatile value *)top = v;
    top++;
    return v;
}

static value pop(void)
{
    return *--top;
}

static int is(value v, uint64_t tag)
{
    return v != NIL && (v & 1) == 0 && *(uint64_t *)v == tag;
}

static struct pair *pair(value v)
{
    if (!is(v, PAIR) && !is(v, CLOSURE))
        fail("a list was expected");
    return (struct pair *)v;
}

static int64_t number(value v)
{
    if ((v & 1) == 0)
        fail("a number was expected");
    return (int64_t)v >> 1;
}

static value of_number(int64_t n)
{
    return (value)n << 1 | 1;
}

// guide: store
// The object may be old, and the collector may be marking it: a store is a store.
static void set_rest(value cell, value rest)
{
    pair(cell)->rest = rest;
}
// end guide

// guide: allocate
static void *new_object(palimpsest_kind kind, uint64_t tag, size_t bytes)
{
    // Zeroed, in a place where it stays. NULL if the heap is full, even after a collection.
    uint64_t *object = palimpsest_alloc(mutator, kind, bytes);
    if (object == NULL)
        fail(palimpsest_last_error());
    *object = tag;
    return object;
}

static value tagged(uint64_t tag, value first, value rest)
{
    // The allocation may reclaim what no root leads to.
    push(first);
    push(rest);
    struct pair *cell = new_object(PALIMPSEST_HEADED, tag, sizeof *cell);
    cell->rest = pop();
    cell->first = pop();
    return (value)cell;
}
// end guide

static value cons(value first, value rest)
{
    return tagged(PAIR, first, rest);
}

// guide: symbols
// All symbols, in references that keep none of them alive. (There are few: a language would have a hash table here.)
static palimpsest_weak **symbols;
static size_t many_symbols;

// The symbol of this name: always the same object, for as long as anything refers to it.
static value symbol(const char *name)
{
    void *object;
    size_t at, free_at = many_symbols;
    for (at = 0; at < many_symbols; at++) {
        must(palimpsest_weak_get(mutator, symbols[at], &object));
        if (object == NULL)
            free_at = at;
        else if (strcmp(((struct symbol *)object)->name, name) == 0)
            return (value)object;
    }
    // A symbol has no references: as a leaf, it is never write-protected and never scanned.
    struct symbol *new = new_object(PALIMPSEST_LEAF, SYMBOL, sizeof *new + strlen(name) + 1);
    strcpy(new->name, name);
    if (free_at < many_symbols) {
        must(palimpsest_weak_set(mutator, symbols[free_at], new));
    } else {
        symbols = grown(symbols, (many_symbols + 1) * sizeof *symbols);
        must(palimpsest_weak_new(mutator, new, &symbols[many_symbols++]));
    }
    return (value)new;
}
// end guide

// guide: external
// An empty vector, whose items are going to lie in native memory.
static value vector(value a, value b)
{
    struct vector *vector = new_object(PALIMPSEST_HEADED, VECTOR, sizeof *vector);
    (void)a, (void)b;
    // No page tells of writes to native memory: every young cycle looks at the items of a vector that is registered. And when
    // nothing refers to the vector any more, it is queued.
    must(palimpsest_external_register(mutator, vector, 0, NULL));
    return (value)vector;
}
// end guide

// guide: finalizers
// Frees the items of vectors that nothing refers to.
static void free_dead_vectors(void)
{
    void *object;
    for (;;) {
        must(palimpsest_finalizer_take(mutator, &object, NULL));
        if (object == NULL)
            return;
        struct vector *vector = object;
        value *items = vector->items;
        vector->items = NULL;
        vector->length = vector->capacity = 0;
        // Only now: another vector in the queue may lead the collector to this one, which then has no items.
        free(items);
    }
}
// end guide

// The program's text, as it comes.
struct input {
    int file;
    ssize_t at, length;
    char bytes[4096];
};

// guide: blocking
static void fill(void *data)
{
    struct input *input = data;
    input->at = 0;
    input->length = input->file < 0 ? 0 : read(input->file, input->bytes, sizeof input->bytes);
}

// The next byte of the program. Where it has to be waited for, the collector does not wait for this thread.
static int byte(struct input *input)
{
    if (input->at >= input->length)
        must(palimpsest_blocking(mutator, fill, input));
    if (input->length < 0)
        fail("the program cannot be read");
    return input->at < input->length ? (unsigned char)input->bytes[input->at++] : EOF;
}
// end guide

// The next byte that is no space and in no comment.
static int next_char(struct input *from)
{
    int c = byte(from);
    while (c == ';' || isspace(c)) {
        if (c == ';')
            while (c != '\n' && c != EOF)
                c = byte(from);
        c = byte(from);
    }
    return c;
}

static value read_value(struct input *from, int c);

// The elements of a list, in order; the first cell and the last one stay on the stack while more is read.
static value read_list(struct input *from)
{
    value *first = top, last = NIL;
    push(NIL);
    for (int c = next_char(from); c != ')'; c = next_char(from)) {
        if (c == EOF)
            fail("the program ends in the middle of a list");
        value cell = read_value(from, c);
        cell = cons(cell, NIL);
        if (last == NIL)
            *(volatile value *)first = cell;
        else
            set_rest(last, cell);
        // Reachable from the first.
        last = cell;
    }
    return pop();
}

static value read_value(struct input *from, int c)
{
    char word[64];
    size_t length = 0;
    if (c == '(')
        return read_list(from);
    for (; c != EOF && !isspace(c) && c != '(' && c != ')' && length < sizeof word - 1; c = byte(from))
        word[length++] = (char)c;
    // It is read once more.
    if (c != EOF)
        from->at--;
    word[length] = 0;
    char *end;
    long long n = strtoll(word, &end, 10);
    return *end == 0 && length > 0 ? of_number(n) : symbol(word);
}

static void print(value v)
{
    if (v & 1)
        printf("%lld", (long long)number(v));
    else if (is(v, SYMBOL))
        fputs(((struct symbol *)v)->name, stdout);
    else if (is(v, PRIMITIVE) || is(v, CLOSURE))
        fputs("<function>", stdout);
    else if (is(v, VECTOR))
        printf("<vector of %llu>", (unsigned long long)((struct vector *)v)->length);
    else {
        putchar('(');
        for (value at = v; at != NIL; at = pair(at)->rest) {
            if (at != v)
                putchar(' ');
            print(pair(at)->first);
        }
        putchar(')');
    }
}

// The cell of an association list that has the name and its value.
static value find(value name, value variables)
{
    for (; variables != NIL; variables = pair(variables)->rest)
        if (pair(pair(variables)->first)->first == name)
            return pair(variables)->first;
    return NIL;
}

static value eval(value code, value variables);

// Evaluates a list's elements; the values stay on the stack.
static int eval_all(value list, value variables)
{
    int many = 0;
    for (; list != NIL; list = pair(list)->rest, many++)
        push(eval(pair(list)->first, variables));
    return many;
}

// The callee and its arguments are the topmost values of the stack.
static value apply(value *frame, int arguments)
{
    if (is(frame[0], PRIMITIVE))
        return ((struct primitive *)frame[0])->function(arguments > 0 ? frame[1] : NIL, arguments > 1 ? frame[2] : NIL);
    if (!is(frame[0], CLOSURE))
        fail("a function was expected");
    // A closure is ((parameters body) . variables), and its code is reachable from the frame.
    value code = pair(frame[0])->first, parameters = pair(code)->first;
    value *variables = top;
    push(pair(frame[0])->rest);
    for (int at = 1; at <= arguments && parameters != NIL; at++, parameters = pair(parameters)->rest) {
        value binding = cons(pair(parameters)->first, frame[at]);
        *(volatile value *)variables = cons(binding, *variables);
    }
    return eval(pair(pair(code)->rest)->first, *variables);
}

// The same, of what is on the stack.
static value eval_kept(value code, value variables)
{
    if ((code & 1) || code == NIL)
        return code;
    if (is(code, SYMBOL)) {
        value cell = find(code, variables);
        cell = cell != NIL ? cell : find(code, variables_of_all);
        if (cell == NIL)
            fail("a variable has no value");
        return pair(cell)->rest;
    }
    value result;
    const char *name = is(pair(code)->first, SYMBOL) ? ((struct symbol *)pair(code)->first)->name : "";
    value rest = pair(code)->rest;
    if (strcmp(name, "quote") == 0) {
        result = pair(rest)->first;
    } else if (strcmp(name, "if") == 0) {
        value which = pair(rest)->rest;
        if (eval(pair(rest)->first, variables) == NIL)
            which = pair(which)->rest;
        result = eval(pair(which)->first, variables);
    } else if (strcmp(name, "lambda") == 0) {
        result = tagged(CLOSURE, rest, variables);
    } else if (strcmp(name, "define") == 0) {
        value binding = cons(pair(rest)->first, NIL);
        variables_of_all = cons(binding, variables_of_all);
        // The binding is old by the time it gets its value, perhaps: a store like any other.
        result = eval(pair(pair(rest)->rest)->first, variables);
        set_rest(find(pair(rest)->first, variables_of_all), result);
    } else {
        value *frame = top;
        int many = eval_all(code, variables);
        result = apply(frame, many - 1);
    }
    return result;
}

// guide: safepoint
// The value of an expression. Everything that a computation is in the middle of is on the stack.
static value eval(value code, value variables)
{
    value *base = top, result;
    push(code);
    push(variables);
    // Code that does not allocate says now and then that the collector may stop it: a few instructions.
    must(palimpsest_poll(mutator));
    result = eval_kept(code, variables);
    top = base;
    return result;
}
// end guide

static value add(value a, value b) { return of_number(number(a) + number(b)); }
static value subtract(value a, value b) { return of_number(number(a) - number(b)); }
static value less(value a, value b) { return number(a) < number(b) ? of_number(1) : NIL; }
static value first(value a, value b) { return (void)b, pair(a)->first; }
static value rest(value a, value b) { return (void)b, pair(a)->rest; }
static value set_first(value a, value b) { return pair(a)->first = b; }

static struct vector *vector_of(value v)
{
    if (!is(v, VECTOR))
        fail("a vector was expected");
    return (struct vector *)v;
}

static value push_item(value v, value item)
{
    struct vector *vector = vector_of(v);
    if (vector->length == vector->capacity) {
        uint64_t capacity = vector->capacity * 2 + 4;
        vector->items = grown(vector->items, capacity * sizeof *vector->items);
        vector->capacity = capacity;
    }
    vector->items[vector->length++] = item;
    return v;
}

static value item_at(value v, value at)
{
    if ((uint64_t)number(at) >= vector_of(v)->length)
        fail("a vector has no such item");
    return vector_of(v)->items[number(at)];
}

static void define_primitive(const char *name, value (*function)(value, value))
{
    struct primitive *primitive = new_object(PALIMPSEST_HEADED, PRIMITIVE, sizeof *primitive);
    primitive->function = function;
    push((value)primitive);
    push(symbol(name));
    value binding = cons(top[-1], top[-2]);
    variables_of_all = cons(binding, variables_of_all);
    top -= 2;
}

static const char demo[] =
    "(define count (lambda (n) (if (< n 1) () (cons n (count (- n 1))))))\n"
    "(define sum (lambda (l) (if l (+ (car l) (sum (cdr l))) 0)))\n"
    "(define repeat (lambda (n) (if (< n 1) 0 (+ (sum (count 200)) (repeat (- n 1))))))\n"
    "(define fill (lambda (v n) (if (< n 1) v (fill (push! v (count n)) (- n 1)))))\n"
    "(define waste (lambda (n) (if (< n 1) 0 (+ (car (at (fill (vector) 20) 3)) (waste (- n 1))))))\n"
    "(define kept (fill (vector) 100))\n"
    "(waste 1000)\n"
    "(sum (at kept 0))\n"
    "(count 5)\n"
    "(define cell (quote (1 2 3)))\n"
    "(set-car! cell (count 3))\n"
    "cell\n"
    "(repeat 2000)\n"
    "(sum (count 1000))\n";

// guide: events
// Called on the collector's thread, beside the program.
static void log_cycle(const palimpsest_cycle *cycle, const char *line, void *data)
{
    (void)cycle, (void)data;
    fprintf(stderr, "%s\n", line);
}
// end guide

// guide: heap
static void make_heap(const char *options, bool log)
{
    palimpsest_config *config = palimpsest_config_new();
    if (config == NULL)
        fail(palimpsest_last_error());
    must(palimpsest_config_codec(config, palimpsest_codec_low_tag(1, 0)));
    must(palimpsest_config_trace(config, trace_vector, NULL, &vectors));
    must(palimpsest_config_layouts(config, layout, &vectors));
    must(palimpsest_config_limit(config, (size_t)64 << 20));
    must(palimpsest_config_options(config, options));
    palimpsest_events events = {.size = sizeof events, .cycle_ended = log_cycle};
    if (log)
        must(palimpsest_config_events(config, &events));
    must(palimpsest_heap_new(config, &heap));
    must(palimpsest_config_free(config));
    must(palimpsest_attach(heap, false, &mutator));
}
// end guide

int main(int arguments, char **argument)
{
    const char *options = "";
    bool log = false, is_demo = false;
    for (int at = 1; at < arguments; at++) {
        if (strcmp(argument[at], "--gc") == 0 && at + 1 < arguments)
            options = argument[++at];
        else if (strcmp(argument[at], "--gc-log") == 0)
            log = true;
        else if (strcmp(argument[at], "demo") == 0)
            is_demo = true;
        else
            fail("usage: list_machine [--gc OPTIONS] [--gc-log] [demo]");
    }
    make_heap(options, log);
    // guide: roots
    // What is pushed is a root, and so is a variable.
    palimpsest_roots *roots[2];
    must(palimpsest_roots_up_to(heap, stack, (const uint64_t *const *)&top, &roots[0]));
    must(palimpsest_roots_fixed(heap, (const uint64_t *)&variables_of_all, 1, &roots[1]));
    // end guide

    define_primitive("+", add);
    define_primitive("-", subtract);
    define_primitive("<", less);
    define_primitive("cons", cons);
    define_primitive("car", first);
    define_primitive("cdr", rest);
    define_primitive("set-car!", set_first);
    define_primitive("vector", vector);
    define_primitive("push!", push_item);
    define_primitive("at", item_at);

    static struct input program = {.file = STDIN_FILENO};
    if (is_demo) {
        // All of it is there already, and there is no file to get more from.
        program.file = -1;
        program.length = sizeof demo - 1;
        memcpy(program.bytes, demo, sizeof demo - 1);
    }
    for (int c = next_char(&program); c != EOF; c = next_char(&program)) {
        print(eval(read_value(&program, c), NIL));
        putchar('\n');
        free_dead_vectors();
    }

    // A heap that goes away finalizes nothing of its own accord.
    must(palimpsest_finalizers_queue_all(mutator, NULL));
    free_dead_vectors();
    palimpsest_stats stats = {.size = sizeof stats};
    must(palimpsest_heap_stats(heap, &stats));
    fprintf(stderr, "%llu cycles, longest pause %.3f ms, %llu KiB allocated\n", (unsigned long long)stats.cycles,
            stats.pause_max_ms, (unsigned long long)stats.allocated_bytes / 1024);
    for (size_t at = 0; at < many_symbols; at++)
        must(palimpsest_weak_free(symbols[at]));
    free(symbols);
    must(palimpsest_roots_free(roots[0]));
    must(palimpsest_roots_free(roots[1]));
    must(palimpsest_detach(mutator));
    must(palimpsest_heap_free(heap));
    return 0;
}
