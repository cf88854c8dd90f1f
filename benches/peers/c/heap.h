// What a workload asks of its allocator. Each peer's header in heap/ has the same functions, all inline:
//
//   NAME, MANUAL      the peer's name; whether it wants to be told what is garbage
//   new_object        memory for an object that has pointers in it, and is written at once
//   new_leaf          the same for one that has none
//   new_table         an array of null pointers
//   new_leaf_table    an array of zeros
//   drop              an object that nobody will look at again
//   heap_begin        called first of all, by main
//   heap_report       prints figures of its own, each with a comma behind it
//
// Pointers to objects are in statics, on stacks, and in objects: where a collector looks. What main maps by itself (room.h) has none.
#ifndef PEER_HEAP_H
#define PEER_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static inline void *new_object(size_t size);
static inline void *new_leaf(size_t size);
static inline void *new_table(size_t len);
static inline void *new_leaf_table(size_t len);
static inline void drop(void *object);
void heap_begin(void);
void heap_report(FILE *to);

// Ends the program: a workload without memory has no result.
_Noreturn void out_of_memory(void);

#include PEER_HEAP

#endif
