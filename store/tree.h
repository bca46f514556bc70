/* store/tree.h: byte strings in order: an AVL tree whose nodes lie in their owners' objects. Every operation is O(log n)
 * whatever the keys and the order in which they come; the shape never shows, so walks depend on the keys alone.
 *
 * Order: by bytes, a prefix before what it begins. */
#ifndef MSUB_STORE_TREE_H
#define MSUB_STORE_TREE_H
#include "meshsub/base.h"

typedef struct msub__tree_node {
  struct msub__tree_node *kid[2];
  msub_bytes key; /* the owner's, unchanged while the node is in a tree */
  uint8_t height;
} msub__tree_node;

/* < 0, 0, > 0. */
int msub__tree_order(msub_bytes a, msub_bytes b);
/* The node with this key, or NULL. */
msub__tree_node *msub__tree_find(msub__tree_node *root, msub_bytes key);
/* The first node in order whose key is not before this one (`behind`: is behind it), or NULL. */
msub__tree_node *msub__tree_from(msub__tree_node *root, msub_bytes key, bool behind);
/* The key must not be there. */
void msub__tree_insert(msub__tree_node **root, msub__tree_node *n);
/* The node must be there. */
void msub__tree_remove(msub__tree_node **root, const msub__tree_node *n);
/* The nodes with this prefix in ascending order, until fn answers false. fn must not change the tree. */
bool msub__tree_walk(const msub__tree_node *root, msub_bytes prefix, bool (*fn)(void *ud, const msub__tree_node *n), void *ud);
#endif
