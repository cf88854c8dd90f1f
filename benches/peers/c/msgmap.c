// A window of messages with payloads, the oldest replaced each time: the longest insert is the figure.
#include <string.h>

#include "heap.h"
#include "workloads.h"

enum { PAYLOAD = 1024 };

struct message {
    uint8_t *payload, *previous;
    uint64_t id;
};

static struct message **map;

struct outcome msgmap(const uint64_t *sizes)
{
    uint64_t window = sizes[0], times = sizes[1], sum = 0;
    uint8_t *last = NULL;
    map = new_table(window);
    struct latency *latency = latency_start(1);
    for (uint64_t id = 0; id < window * times; id++) {
        uint8_t *payload = new_leaf(PAYLOAD);
        memset(payload, (int)(id & 255), PAYLOAD);
        struct message *message = new_object(sizeof *message), *old = map[id % window];
        *message = (struct message){payload, last, id};
        if (old != NULL) {
            sum += old->id + old->payload[id % PAYLOAD];
            if (old->previous != NULL)
                sum += old->previous[id % PAYLOAD];
            // Its own payload is that of the next message too, which is dropped later and takes it along.
            drop(old->previous);
            drop(old);
        }
        map[id % window] = message;
        last = payload;
        latency_lap(latency);
    }
    for (uint64_t slot = 0; slot < window; slot++)
        sum += map[slot]->id + map[slot]->payload[0] + map[slot]->previous[0];
    return (struct outcome){.checksum = sum, .latency = latency};
}
