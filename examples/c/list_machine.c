// A small list machine: a reader, an evaluator and a printer for S-expressions, whose cells are objects of the collector.
//
// It shows what an interpreter in C does: how its words are tagged, how it tells the collector where its references are, and that it
// writes to old objects with plain stores. Reads expressions from standard input, or runs a program of its own if there is an
// argument: `./list_machine demo`.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "palimpsest.h"

// A value is a word: a number if its lowest bit is 1, otherwise the address of an object, or 0, the empty list. To the collector
// that is palimpsest_codec_low_tag(1, 0).
typedef uint64_t value;

enum { NIL = 0, DEPTH = 65536 };

// Objects begin with a header, whose lowest bit is 1, so that it is no reference; the tag says which of these they are.
enum { SYMBOL = 1, PAIR = 3, PRIMITIVE = 5, CLOSURE = 7 };

struct pair {
    uint64_t tag;
    value first, rest;
};

struct symbol {
    uint64_t tag;
    value next;
    char name[];
};

struct primitive {
    uint64_t tag;
    value (*function)(value first, value second);
};

static palimpsest_heap *heap;
static palimpsest_mutator *mutator;

// The machine's stack, a root range: whatever is needed after an allocation is on it. And the list of all symbols, and the global
// variables, an association list.
static value stack[DEPTH];
static value *volatile top = stack;
static volatile value globals[2];
enum { SYMBOLS, VARIABLES };

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

// What the words of an object are, by its header. The collector asks in another process.
static palimpsest_layout layout(uint64_t header, void *data)
{
    palimpsest_layout layout = {0, PALIMPSEST_NO_TAIL, 0};
    (void)data;
    if (header == PAIR || header == CLOSURE)
        layout.mask = 1 << 1 | 1 << 2;
    else if (header == SYMBOL)
        layout.mask = 1 << 1;
    return layout;
}

static void *new_object(uint64_t tag, size_t bytes)
{
    uint64_t *object = palimpsest_alloc(mutator, PALIMPSEST_HEADED, bytes);
    if (object == NULL)
        fail(palimpsest_last_error());
    *object = tag;
    return object;
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

static value tagged(uint64_t tag, value first, value rest)
{
    // The allocation may reclaim what nothing refers to.
    push(first);
    push(rest);
    struct pair *cell = new_object(tag, sizeof *cell);
    cell->rest = pop();
    cell->first = pop();
    return (value)cell;
}

static value cons(value first, value rest)
{
    return tagged(PAIR, first, rest);
}

static value symbol(const char *name)
{
    for (value at = globals[SYMBOLS]; at != NIL; at = ((struct symbol *)at)->next)
        if (strcmp(((struct symbol *)at)->name, name) == 0)
            return at;
    struct symbol *new = new_object(SYMBOL, sizeof *new + strlen(name) + 1);
    strcpy(new->name, name);
    new->next = globals[SYMBOLS];
    return globals[SYMBOLS] = (value)new;
}

static int next_char(FILE *from)
{
    int c = getc(from);
    while (c == ';' || isspace(c)) {
        if (c == ';')
            while (c != '\n' && c != EOF)
                c = getc(from);
        c = getc(from);
    }
    return c;
}

static value read_value(FILE *from, int c);

// The elements of a list, in order; the first cell and the last one stay on the stack while more is read.
static value read_list(FILE *from)
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
            pair(last)->rest = cell;
        // Reachable from the first.
        last = cell;
    }
    return pop();
}

static value read_value(FILE *from, int c)
{
    char word[64];
    size_t length = 0;
    if (c == '(')
        return read_list(from);
    for (; c != EOF && !isspace(c) && c != '(' && c != ')' && length < sizeof word - 1; c = getc(from))
        word[length++] = (char)c;
    ungetc(c, from);
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

// Code and variables are kept by this function, on the stack; so is everything in the middle of a computation.
static value eval(value code, value variables)
{
    palimpsest_poll(mutator);
    if ((code & 1) || code == NIL)
        return code;
    if (is(code, SYMBOL)) {
        value cell = find(code, variables);
        cell = cell != NIL ? cell : find(code, globals[VARIABLES]);
        if (cell == NIL)
            fail("a variable has no value");
        return pair(cell)->rest;
    }
    value *base = top, result;
    push(code);
    push(variables);
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
        globals[VARIABLES] = cons(binding, globals[VARIABLES]);
        // The binding is old by the time it gets its value, perhaps: a store like any other.
        result = eval(pair(pair(rest)->rest)->first, variables);
        pair(find(pair(rest)->first, globals[VARIABLES]))->rest = result;
    } else {
        value *frame = top;
        int many = eval_all(code, variables);
        result = apply(frame, many - 1);
    }
    top = base;
    return result;
}

static value add(value a, value b) { return of_number(number(a) + number(b)); }
static value subtract(value a, value b) { return of_number(number(a) - number(b)); }
static value less(value a, value b) { return number(a) < number(b) ? of_number(1) : NIL; }
static value first(value a, value b) { return (void)b, pair(a)->first; }
static value rest(value a, value b) { return (void)b, pair(a)->rest; }
static value set_first(value a, value b) { return pair(a)->first = b; }

static void define_primitive(const char *name, value (*function)(value, value))
{
    struct primitive *primitive = new_object(PRIMITIVE, sizeof *primitive);
    primitive->function = function;
    push((value)primitive);
    push(symbol(name));
    value binding = cons(top[-1], top[-2]);
    globals[VARIABLES] = cons(binding, globals[VARIABLES]);
    top -= 2;
}

static const char demo[] =
    "(define count (lambda (n) (if (< n 1) () (cons n (count (- n 1))))))\n"
    "(define sum (lambda (l) (if l (+ (car l) (sum (cdr l))) 0)))\n"
    "(define repeat (lambda (n) (if (< n 1) 0 (+ (sum (count 200)) (repeat (- n 1))))))\n"
    "(count 5)\n"
    "(define cell (quote (1 2 3)))\n"
    "(set-car! cell (count 3))\n"
    "cell\n"
    "(repeat 2000)\n"
    "(sum (count 1000))\n";

int main(int arguments, char **argument)
{
    palimpsest_config *config = palimpsest_config_new();
    if (config == NULL)
        fail(palimpsest_last_error());
    must(palimpsest_config_codec(config, palimpsest_codec_low_tag(1, 0)));
    must(palimpsest_config_layouts(config, layout, NULL));
    must(palimpsest_config_limit(config, (size_t)64 << 20));
    must(palimpsest_heap_new(config, &heap));
    must(palimpsest_config_free(config));
    must(palimpsest_attach(heap, false, &mutator));
    palimpsest_roots *roots[2];
    must(palimpsest_roots_up_to(heap, stack, (const uint64_t *const *)&top, &roots[0]));
    must(palimpsest_roots_fixed(heap, (const uint64_t *)globals, 2, &roots[1]));

    define_primitive("+", add);
    define_primitive("-", subtract);
    define_primitive("<", less);
    define_primitive("cons", cons);
    define_primitive("car", first);
    define_primitive("cdr", rest);
    define_primitive("set-car!", set_first);

    FILE *program = arguments > 1 && strcmp(argument[1], "demo") == 0 ? fmemopen((void *)demo, sizeof demo - 1, "r") : stdin;
    if (program == NULL)
        fail("the program cannot be read");
    for (int c = next_char(program); c != EOF; c = next_char(program)) {
        print(eval(read_value(program, c), NIL));
        putchar('\n');
    }

    palimpsest_stats stats = {.size = sizeof stats};
    must(palimpsest_heap_stats(heap, &stats));
    fprintf(stderr, "%llu cycles, longest pause %.3f ms, %llu KiB allocated\n", (unsigned long long)stats.cycles,
            stats.pause_max_ms, (unsigned long long)stats.allocated_bytes / 1024);
    must(palimpsest_roots_free(roots[0]));
    must(palimpsest_roots_free(roots[1]));
    must(palimpsest_detach(mutator));
    must(palimpsest_heap_free(heap));
    return 0;
}
