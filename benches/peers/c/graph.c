// Random pointer writes all over a big live graph.
#include "heap.h"
#include "random.h"
#include "workloads.h"

enum { NODES_PER_MIB = 16384, RING = 1024 };

struct node {
    struct node *edges[4];
    uint64_t id, words[3];
};

static struct node **nodes, *ring[RING];

static struct node *new_node(struct node *const *edges, uint64_t id)
{
    struct node *node = new_object(sizeof *node);
    *node = (struct node){{edges[0], edges[1], edges[2], edges[3]}, id, {0}};
    return node;
}

// The first node leads to itself, each later one to four random nodes before it.
static void build(uint64_t count, struct random *random)
{
    struct node *edges[4] = {NULL};
    nodes[0] = new_node(edges, 0);
    for (int k = 0; k < 4; k++)
        nodes[0]->edges[k] = nodes[0];
    for (uint64_t id = 1; id < count; id++) {
        for (int k = 0; k < 4; k++)
            edges[k] = nodes[below(random, id)];
        nodes[id] = new_node(edges, id);
    }
}

struct outcome graph(const uint64_t *sizes)
{
    uint64_t count = sizes[0] * NODES_PER_MIB, ops = sizes[1] > 0 ? sizes[1] : count, sum = 0;
    struct random random = random_new();
    uint64_t start = now();
    nodes = new_table(count);
    build(count, &random);
    double build_s = (double)(now() - start) / SECOND;

    struct latency *latency = latency_start(1);
    for (uint64_t op = 0; op < ops; op++) {
        struct node *edges[4];
        for (int k = 0; k < 4; k += 2) {
            struct node *from = nodes[below(&random, count)];
            struct node **edge = &from->edges[next(&random) % 4], *to = nodes[below(&random, count)];
            sum += (*edge)->id;
            *edge = to;
            edges[k] = from;
            edges[k + 1] = to;
        }
        struct node *node = new_node(edges, op), *old = ring[op % RING];
        if (old != NULL) {
            sum += old->id;
            drop(old);
        }
        ring[op % RING] = node;
        latency_lap(latency);
    }
    for (uint64_t k = 0; k < count; k += 16)
        for (int edge = 0; edge < 4; edge++)
            sum += nodes[k]->edges[edge]->id;
    return (struct outcome){.checksum = sum, .build_s = build_s, .latency = latency};
}
