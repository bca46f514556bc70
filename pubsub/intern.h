/* pubsub/intern.h: byte strings (peer ids, topic names) as small integers: one copy, reference counted, index 0 is "none". */
#ifndef MSUB_PUBSUB_INTERN_H
#define MSUB_PUBSUB_INTERN_H
#include "base/table.h"

typedef struct msub__string {
  uint8_t *p;
  uint32_t n;
  uint32_t refs; /* 0: free; then n is the next free index */
} msub__string;
#define MSUB__INTERNS 0xffffffu /* strings, so that an index has 24 bits (msub_msg.topic_name) */
typedef struct msub__interns {
  msub__string *e;
  uint32_t n, cap, free;
  msub__table table;
  size_t live, bytes;
} msub__interns;

void msub__interns_fini(msub__interns *t, const msub_mem *m);
/* The index of a known string, without taking a reference; 0: unknown. */
uint32_t msub__intern_find(const msub__interns *t, const msub__hashkey *k, msub_bytes b);
/* The index with one more reference; 0: no memory, or there are MSUB__INTERNS. */
uint32_t msub__intern_hold(msub__interns *t, const msub_mem *m, const msub__hashkey *k, msub_bytes b);
void msub__intern_ref(msub__interns *t, uint32_t i);
void msub__intern_drop(msub__interns *t, const msub_mem *m, const msub__hashkey *k, uint32_t i);
static inline msub_bytes msub__intern_bytes(const msub__interns *t, uint32_t i) {
  if (i == 0 || i >= t->n || t->e[i].refs == 0) return (msub_bytes){ NULL, 0 };
  return (msub_bytes){ t->e[i].p, t->e[i].n };
}
#endif
