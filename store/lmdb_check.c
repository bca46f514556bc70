/* store/lmdb_check.c: data.mdb as LMDB 0.9 writes it, looked at from outside. All numbers are the machine's own.
 *
 *   page 0, 1   meta: the newer one of the two (by its transaction) has the roots of two trees
 *   tree 0      what is free: transaction → list of pages      tree 1      names of databases → their roots; values; those of ours
 *
 *   page        number, …, flags, lower, upper (or, of a value too long for a page, how many pages); then offsets of nodes, sorted by key
 *   node        size of the value or the page below, flags, size of the key; key; value, or the first page of it */
#include "store/lmdb.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0xBEEFC0DEu
#define DATA_VERSION 1u
#define P_BRANCH 0x01u
#define P_LEAF 0x02u
#define P_OVERFLOW 0x04u
#define P_META 0x08u
#define F_BIGDATA 0x01u
#define F_SUBDATA 0x02u
#define F_DUPDATA 0x04u
#define INTEGERKEY 0x08u
#define NONE (~(size_t)0)
#define DEPTH_MAX 32u
#define PAGE_MIN 256u
#define PAGE_MAX 65536u

typedef struct page_header {
  size_t number;
  uint16_t pad, flags;
  union {
    struct { uint16_t lower, upper; } at;
    uint32_t pages;
  } u;
} page_header;
typedef struct node_header { uint16_t lo, hi, flags, key; } node_header;
typedef struct tree {
  uint32_t pad;
  uint16_t flags, depth;
  size_t branches, leaves, overflows, entries, root;
} tree;
typedef struct meta {
  uint32_t magic, version;
  void *address;
  size_t map;
  tree trees[2];
  size_t last, transaction;
} meta;

typedef struct checker {
  const msub__os *os;
  const msub_mem *mem;
  int fd;
  uint64_t size;
  size_t page, last;
  uint8_t *seen; /* bits */
  uint8_t *pages; /* a page for each level */
  size_t branches, leaves, overflows, entries;
  char *why;
  size_t why_n;
} checker;

__attribute__((format(printf, 3, 4))) static int bad(const checker *c, size_t page, const char *format, ...) {
  char text[128];
  va_list ap;
  va_start(ap, format);
  (void)vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  (void)snprintf(c->why, c->why_n, "damaged: page %zu: %s", page, text);
  return MSUB_ERR_MALFORMED;
}

static int read_at(const checker *c, void *to, size_t n, uint64_t at, size_t page) {
  if (n > c->size || at > c->size - n) {
    (void)snprintf(c->why, c->why_n, "cut short: page %zu is in use, and the file ends at %llu bytes", page, (unsigned long long)c->size);
    return MSUB_ERR_MALFORMED;
  }
  int err = msub__os_read_all(c->os, c->fd, to, n, at);
  if (err < 0) (void)snprintf(c->why, c->why_n, "%s", strerror(-err));
  return err < 0 ? MSUB_ERR_IO : MSUB_OK;
}

/* Each page is reached once. */
static int visit(checker *c, size_t page) {
  if (page < 2 || page > c->last) return bad(c, page, "there are %zu", c->last + 1);
  if (c->seen[page / 8] & 1u << page % 8) return bad(c, page, "is used twice");
  c->seen[page / 8] = (uint8_t)(c->seen[page / 8] | 1u << page % 8);
  return MSUB_OK;
}

static int load(checker *c, size_t page, uint8_t *to, page_header *h) {
  int err = visit(c, page);
  if (err == MSUB_OK) err = read_at(c, to, c->page, (uint64_t)page * c->page, page);
  if (err != MSUB_OK) return err;
  memcpy(h, to, sizeof *h);
  return h->number == page ? MSUB_OK : bad(c, page, "says that it is page %zu", h->number);
}

static int check_tree(checker *c, const tree *t, bool free_list);

/* A value on pages of its own. */
static int check_big(checker *c, size_t page, size_t n, uint8_t *out) {
  page_header h;
  size_t pages = (sizeof h + n + c->page - 1) / c->page;
  if (page < 2 || page > c->last || pages > c->last - page + 1) return bad(c, page, "a value of %zu bytes does not fit", n);
  for (size_t i = 0; i < pages; i++) {
    int err = visit(c, page + i);
    if (err != MSUB_OK) return err;
  }
  int err = read_at(c, &h, sizeof h, (uint64_t)page * c->page, page);
  if (err != MSUB_OK) return err;
  if (h.number != page || (h.flags & 0x7fu) != P_OVERFLOW || h.u.pages != pages) return bad(c, page, "is not the value that it should be");
  c->overflows += pages;
  if (out) return read_at(c, out, n, (uint64_t)page * c->page + sizeof h, page);
  uint8_t last; /* it is all there */
  return read_at(c, &last, 1, (uint64_t)page * c->page + sizeof h + n - 1, page);
}

/* The pages that a transaction gave back. */
static int check_list(checker *c, size_t page, const uint8_t *p, size_t n) {
  size_t count, last = NONE;
  if (n < sizeof count || n % sizeof count) return bad(c, page, "a list of free pages has %zu bytes", n);
  memcpy(&count, p, sizeof count);
  if (count > n / sizeof count - 1) return bad(c, page, "a list of free pages is longer than its bytes");
  for (size_t i = 1; i <= count; i++) {
    size_t one;
    memcpy(&one, p + i * sizeof one, sizeof one);
    if (last != NONE && one >= last) return bad(c, page, "a list of free pages is not sorted");
    last = one;
    int err = visit(c, one);
    if (err != MSUB_OK) return err;
  }
  return MSUB_OK;
}

static int check_leaf(checker *c, size_t page, const node_header *h, const uint8_t *value, size_t room, bool free_list) {
  size_t n = h->lo | (size_t)h->hi << 16, first;
  uint8_t *list = NULL;
  tree t;
  int err = MSUB_OK;
  if (h->flags & (unsigned)~(F_BIGDATA | F_SUBDATA)) return bad(c, page, "a node of an unknown kind");
  c->entries++;
  if (!(h->flags & F_BIGDATA)) {
    if (n > room) return bad(c, page, "a value ends behind the page");
    if (free_list) return check_list(c, page, value, n);
    if (!(h->flags & F_SUBDATA)) return MSUB_OK;
    if (n != sizeof t) return bad(c, page, "a database's root has %zu bytes", n);
    memcpy(&t, value, sizeof t);
    checker sub = *c; /* the counts of another tree */
    err = check_tree(&sub, &t, false);
    return err;
  }
  if ((h->flags & F_SUBDATA) || room < sizeof first) return bad(c, page, "a value's page number ends behind the page");
  memcpy(&first, value, sizeof first);
  if (!free_list) return check_big(c, first, n, NULL);
  if (n / c->page > c->last) return bad(c, page, "a list of free pages is longer than the file");
  list = msub__alloc(c->mem, n + 1);
  if (!list) return MSUB_ERR_NOMEM;
  err = check_big(c, first, n, list);
  if (err == MSUB_OK) err = check_list(c, page, list, n);
  msub__free(c->mem, list, n + 1);
  return err;
}

static int compare(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, bool integers) {
  size_t x, y;
  if (!integers) return msub__tree_order((msub_bytes){ a, an }, (msub_bytes){ b, bn });
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static int check_page(checker *c, size_t page, unsigned depth, unsigned height, bool free_list) {
  uint8_t *p = c->pages + (size_t)depth * c->page;
  page_header h;
  int err = load(c, page, p, &h);
  if (err != MSUB_OK) return err;
  unsigned kind = h.flags & 0x7fu & ~0x10u, want = depth + 1 == height ? P_LEAF : P_BRANCH;
  if (kind != want) return bad(c, page, "is no %s", want == P_LEAF ? "leaf" : "branch");
  if (h.u.at.lower < sizeof h || h.u.at.lower > h.u.at.upper || h.u.at.upper > c->page || (h.u.at.lower - sizeof h) % 2)
    return bad(c, page, "its bounds are impossible");
  size_t n = (h.u.at.lower - sizeof h) / 2, prev = 0, prev_n = 0;
  if (n == 0) return bad(c, page, "has no nodes");
  *(kind == P_LEAF ? &c->leaves : &c->branches) += 1;
  for (size_t i = 0; i < n; i++) {
    uint16_t at;
    node_header node;
    memcpy(&at, p + sizeof h + 2 * i, sizeof at);
    if (at < h.u.at.upper || at % 2 || at > c->page - sizeof node) return bad(c, page, "a node is outside");
    memcpy(&node, p + at, sizeof node);
    size_t key = at + sizeof node;
    if (node.key > c->page - key) return bad(c, page, "a key ends behind the page");
    bool first_of_branch = kind == P_BRANCH && i == 0; /* its key counts for nothing */
    if (!first_of_branch && free_list && node.key != sizeof(size_t)) return bad(c, page, "a key of %u bytes", (unsigned)node.key);
    if (!first_of_branch && prev && compare(p + prev, prev_n, p + key, node.key, free_list) >= 0) return bad(c, page, "keys are out of order");
    if (!first_of_branch) prev = key, prev_n = node.key;
    if (kind == P_LEAF) {
      err = check_leaf(c, page, &node, p + key + node.key, c->page - key - node.key, free_list);
    } else {
      size_t below = node.lo | (size_t)node.hi << 16;
#if SIZE_MAX > UINT32_MAX
      below |= (size_t)node.flags << 32;
#endif
      err = check_page(c, below, depth + 1, height, free_list);
    }
    if (err != MSUB_OK) return err;
  }
  return MSUB_OK;
}

static int check_tree(checker *c, const tree *t, bool free_list) {
  c->branches = c->leaves = c->overflows = c->entries = 0;
  if (t->root == NONE) return t->entries || t->depth ? bad(c, 0, "an empty tree has entries") : MSUB_OK;
  if (t->depth == 0 || t->depth > DEPTH_MAX) return bad(c, t->root, "a tree %u deep", (unsigned)t->depth);
  if ((t->flags & 0x7fffu) != (free_list ? INTEGERKEY : 0)) return bad(c, t->root, "a tree of an unknown kind");
  uint8_t *outer = c->pages;
  size_t bytes = (size_t)t->depth * c->page;
  c->pages = msub__alloc(c->mem, bytes);
  int err = c->pages ? check_page(c, t->root, 0, t->depth, free_list) : MSUB_ERR_NOMEM;
  msub__free(c->mem, c->pages, bytes);
  c->pages = outer;
  if (err != MSUB_OK) return err;
  if (c->branches != t->branches || c->leaves != t->leaves || c->overflows != t->overflows || c->entries != t->entries)
    return bad(c, t->root, "a tree with %zu entries on %zu leaves should have %zu on %zu", c->entries, c->leaves, t->entries, t->leaves);
  return MSUB_OK;
}

/* The newer one of the two. */
static int read_meta(checker *c, meta *out) {
  uint8_t p[sizeof(page_header) + sizeof(meta)];
  size_t page = 0;
  for (unsigned i = 0; i < 2; i++) {
    page_header h;
    meta m;
    int err = read_at(c, p, sizeof p, i * (uint64_t)page, i);
    if (err != MSUB_OK) return err;
    memcpy(&h, p, sizeof h);
    memcpy(&m, p + sizeof h, sizeof m);
    if (!(h.flags & P_META) || m.magic != MAGIC) return bad(c, i, "this is no file of LMDB");
    if (m.version != DATA_VERSION) return bad(c, i, "is of version %u of LMDB's file, and this program knows %u", (unsigned)m.version, DATA_VERSION);
    if (page == 0) page = m.trees[0].pad;
    if (page < PAGE_MIN || page > PAGE_MAX || page & (page - 1) || m.trees[0].pad != page) return bad(c, i, "pages of %zu bytes", page);
    if (i == 0) {
      *out = m;
    } else {
      /* They take turns: the odd transactions are on page 1. Without that a flipped bit would bring back an older root. */
      size_t a = out->transaction, b = m.transaction;
      if ((a != b + 1 && b != a + 1 && (a || b)) || a % 2 || (b && b % 2 == 0)) return bad(c, 1, "transactions %zu and %zu do not follow each other", a, b);
      if (b > a) *out = m;
    }
  }
  c->page = page;
  return MSUB_OK;
}

static int start(checker *c, const char *path, meta *m) {
  c->fd = c->os->open(c->os->ud, path, MSUB__OS_READ);
  int64_t size = c->fd < 0 ? c->fd : c->os->size(c->os->ud, c->fd);
  if (size < 0) {
    (void)snprintf(c->why, c->why_n, "%s", strerror((int)-size));
    return MSUB_ERR_IO;
  }
  c->size = (uint64_t)size;
  return read_meta(c, m);
}

int msub__lmdb_check(const msub__os *os, const msub_mem *mem, const char *path, char *why, size_t why_n) {
  checker c = { .os = os, .mem = mem, .why = why, .why_n = why_n };
  meta m;
  int err = start(&c, path, &m);
  /* Pages that are free at the end need not be there; more than this no file of this length can be about. */
  if (err == MSUB_OK && (m.last < 1 || m.last / 1024 > c.size / c.page + 1024)) err = bad(&c, 0, "the file would have %zu pages", m.last);
  if (err == MSUB_OK) {
    c.last = m.last;
    c.seen = msub__zalloc(mem, m.last / 8 + 1, 1);
    err = c.seen ? MSUB_OK : MSUB_ERR_NOMEM;
  }
  if (err == MSUB_OK) err = check_tree(&c, &m.trees[1], false);
  if (err == MSUB_OK) err = check_tree(&c, &m.trees[0], true);
  if (err == MSUB_ERR_NOMEM) (void)snprintf(why, why_n, "%s", msub_err_text(err));
  msub__free(mem, c.seen, m.last / 8 + 1);
  if (c.fd >= 0) (void)os->close(os->ud, c.fd);
  return err;
}

bool msub__lmdb_is_long_enough(const msub__os *os, const char *path) {
  char why[160];
  checker c = { .os = os, .why = why, .why_n = sizeof why };
  meta m;
  bool yes = start(&c, path, &m) == MSUB_OK && m.last < c.size / c.page;
  if (c.fd >= 0) (void)os->close(os->ud, c.fd);
  return yes;
}
