#include <string.h>
#include "base/assert.h"
#include "store/tree.h"

#define DEPTH 96 /* above 1.44 * log2 of whatever fits into memory */

typedef msub__tree_node node;

int msub__tree_order(msub_bytes a, msub_bytes b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
  return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static unsigned height(const node *t) { return t ? t->height : 0; }

static void measure(node *t) {
  unsigned l = height(t->kid[0]), r = height(t->kid[1]);
  t->height = (uint8_t)((l > r ? l : r) + 1);
}

/* kid[side] comes up into its parent's place. */
static void rotate(node **at, int side) {
  node *t = *at, *k = t->kid[side];
  t->kid[side] = k->kid[!side];
  k->kid[!side] = t;
  measure(t);
  measure(k);
  *at = k;
}

static void balance(node **at) {
  node *t = *at;
  for (int side = 0; side < 2; side++) {
    node *k = t->kid[side];
    if (height(k) <= height(t->kid[!side]) + 1) continue;
    if (height(k->kid[!side]) > height(k->kid[side])) rotate(&t->kid[side], !side);
    rotate(at, side);
    return;
  }
  measure(t);
}

/* The links from the root down, each to be balanced when all below it are. */
typedef struct path {
  node **link[DEPTH];
  unsigned n;
} path;

static node **go(path *p, node **link) {
  MSUB__INVARIANT(p->n < DEPTH);
  return p->link[p->n++] = link;
}

static void balance_all(path *p) {
  while (p->n > 0) balance(p->link[--p->n]);
}

node *msub__tree_find(node *root, msub_bytes key) {
  for (node *t = root; t;) {
    int c = msub__tree_order(key, t->key);
    if (c == 0) return t;
    t = t->kid[c > 0];
  }
  return NULL;
}

node *msub__tree_from(node *root, msub_bytes key, bool behind) {
  node *found = NULL;
  for (node *t = root; t;) {
    int c = msub__tree_order(key, t->key);
    bool right = c > 0 || (c == 0 && behind);
    if (!right) found = t;
    t = t->kid[right];
  }
  return found;
}

void msub__tree_insert(node **root, node *n) {
  path p = { .n = 0 };
  node **link = root;
  while (*link) {
    int c = msub__tree_order(n->key, (*link)->key);
    MSUB__INVARIANT(c != 0);
    link = &(*go(&p, link))->kid[c > 0];
  }
  n->kid[0] = n->kid[1] = NULL;
  n->height = 1;
  *link = n;
  balance_all(&p);
}

void msub__tree_remove(node **root, const node *n) {
  path p = { .n = 0 };
  node **link = root;
  while (*link != n) {
    MSUB__INVARIANT(*link);
    link = &(*go(&p, link))->kid[msub__tree_order(n->key, (*link)->key) > 0];
  }
  node *t = *link;
  if (!t->kid[0] || !t->kid[1]) {
    *link = t->kid[!t->kid[0]];
    balance_all(&p);
    return;
  }
  /* The next one in order takes its place; the path goes on through that node instead. */
  node **place = go(&p, link), **down = &t->kid[1];
  unsigned below = p.n;
  while ((*down)->kid[0]) down = &(*go(&p, down))->kid[0];
  node *next = *down;
  *down = next->kid[1];
  next->kid[0] = t->kid[0];
  next->kid[1] = t->kid[1];
  next->height = t->height;
  *place = next;
  if (p.n > below) p.link[below] = &next->kid[1];
  balance_all(&p);
}

/* < 0: before all keys with the prefix; 0: has it; > 0: behind them. */
static int side_of(msub_bytes key, msub_bytes prefix) {
  if (key.n > prefix.n) key.n = prefix.n;
  return msub__tree_order(key, prefix);
}

bool msub__tree_walk(const node *t, msub_bytes prefix, bool (*fn)(void *ud, const node *n), void *ud) {
  if (!t) return true;
  int side = side_of(t->key, prefix);
  if (side >= 0 && !msub__tree_walk(t->kid[0], prefix, fn, ud)) return false;
  if (side == 0 && !fn(ud, t)) return false;
  return side > 0 || msub__tree_walk(t->kid[1], prefix, fn, ud);
}
