/* base/list.h: intrusive doubly linked list; the head is a node of its own, a node out of any list points to itself.
 *
 *     head <-> a <-> b <-> c <-> head
 */
#ifndef MSUB_BASE_LIST_H
#define MSUB_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

typedef struct msub__node { struct msub__node *prev, *next; } msub__node;
#define MSUB__OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void msub__list_init(msub__node *n) { n->prev = n->next = n; }
static inline bool msub__list_empty(const msub__node *h) { return h->next == h; }
static inline void msub__list_remove(msub__node *n) {
  n->prev->next = n->next;
  n->next->prev = n->prev;
  msub__list_init(n);
}
static inline void msub__list_insert(msub__node *after, msub__node *n) {
  n->prev = after;
  n->next = after->next;
  after->next->prev = n;
  after->next = n;
}
static inline void msub__list_push(msub__node *h, msub__node *n) { msub__list_insert(h->prev, n); } /* at the end */
static inline msub__node *msub__list_first(const msub__node *h) { return h->next == h ? NULL : h->next; }
#endif
