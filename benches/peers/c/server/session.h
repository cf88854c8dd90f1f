// A session: what the server remembers of a client.
//
// A history of the last requests, linked from the oldest to the newest, and a small map with chains.
#ifndef PEER_SESSION_H
#define PEER_SESSION_H

#include "random.h"
#include "words.h"

struct session;

// A new session with a full history.
struct session *session_open(struct random *random);

// A new entry takes the place of the oldest, of which something for the checksum is returned.
uint64_t session_remember(struct session *session, struct random *random, uint64_t value, uint64_t number);

// Enters a value into the map, under the key that it says. Something of what the key had before, for the checksum.
uint64_t session_enter(struct session *session, struct random *random, uint64_t value);

// All that the history says, oldest first.
uint64_t session_recall(const struct session *session);

// Words of a text.
static inline uint64_t text_len(struct random *random) { return 2 + below(random, 7); }

// Serves a request (request.c), and returns something of all that was read for it.
uint64_t serve(struct session *session, struct random *random, uint64_t number);

#endif
