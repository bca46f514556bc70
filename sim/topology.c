/* sim/topology.c: who dials whom. */
#include "sim/sim.h"

#define STREAM 0u /* of the program: its graphs do not depend on what else it draws from other streams */

static int dial(msub_sim *s, uint32_t a, uint32_t b) { return msub_sim_connect(s, a, b, s->now.mono_ns); }

static bool exist(const msub_sim *s, uint32_t first, uint32_t n) {
  return first <= s->n_nodes && n <= s->n_nodes - first;
}

int msub_sim_connect_all(msub_sim *s, uint32_t first, uint32_t n) {
  int err = exist(s, first, n) ? MSUB_OK : MSUB_ERR_INVAL;
  for (uint32_t a = 0; a < n && err == MSUB_OK; a++)
    for (uint32_t b = a + 1; b < n && err == MSUB_OK; b++) err = dial(s, first + a, first + b);
  return err;
}

int msub_sim_connect_line(msub_sim *s, uint32_t first, uint32_t n) {
  int err = exist(s, first, n) ? MSUB_OK : MSUB_ERR_INVAL;
  for (uint32_t i = 0; i + 1 < n && err == MSUB_OK; i++) err = dial(s, first + i, first + i + 1);
  return err;
}

int msub_sim_connect_tree(msub_sim *s, uint32_t first, uint32_t n, uint32_t children) {
  int err = exist(s, first, n) && children ? MSUB_OK : MSUB_ERR_INVAL;
  for (uint32_t i = 1; i < n && err == MSUB_OK; i++) err = dial(s, first + (i - 1) / children, first + i);
  return err;
}

int msub_sim_connect_star(msub_sim *s, uint32_t first, uint32_t n) {
  int err = exist(s, first, n) ? MSUB_OK : MSUB_ERR_INVAL;
  for (uint32_t i = 1; i < n && err == MSUB_OK; i++) err = dial(s, first + i, first);
  return err;
}

/* ---- random graphs ---- */

/* Edges (a, b), a != b, as a list per node. */
typedef struct graph {
  msub_sim *s;
  uint32_t n, row; /* row: room of a node */
  uint32_t *to, *deg;
} graph;

static int graph_new(graph *g, msub_sim *s, uint32_t n, uint32_t row) {
  *g = (graph){ .s = s, .n = n, .row = row };
  g->to = msub__zalloc(&s->mem, (size_t)n * row, sizeof *g->to);
  g->deg = msub__zalloc(&s->mem, n, sizeof *g->deg);
  return g->to && g->deg ? MSUB_OK : MSUB_ERR_NOMEM;
}
static void graph_free(graph *g) {
  msub__free(&g->s->mem, g->to, (size_t)g->n * g->row * sizeof *g->to);
  msub__free(&g->s->mem, g->deg, g->n * sizeof *g->deg);
}
/* The place of b among a's; deg[a]: it is not there. */
static uint32_t edge(const graph *g, uint32_t a, uint32_t b) {
  uint32_t i = 0;
  while (i < g->deg[a] && g->to[(size_t)a * g->row + i] != b) i++;
  return i;
}
static bool linked(const graph *g, uint32_t a, uint32_t b) { return edge(g, a, b) < g->deg[a]; }
static void link_one(graph *g, uint32_t a, uint32_t b) { g->to[(size_t)a * g->row + g->deg[a]++] = b; }

int msub_sim_connect_random(msub_sim *s, uint32_t first, uint32_t n, uint32_t dials) {
  if (!exist(s, first, n) || (n && dials >= n)) return MSUB_ERR_INVAL;
  graph g;
  int err = n && dials ? graph_new(&g, s, n, dials) : MSUB_OK;
  for (uint32_t a = 0; dials && a < n && err == MSUB_OK; a++)
    while (g.deg[a] < dials && err == MSUB_OK) {
      uint32_t b = msub_sim_rand(s, MSUB_SIM_NOBODY, STREAM, n);
      if (b == a || linked(&g, a, b)) continue;
      link_one(&g, a, b);
      err = dial(s, first + a, first + b);
    }
  if (n && dials) graph_free(&g);
  return err;
}

/* Ends of edges are paired at random; a pair that may not be, or is there already, changes places with an edge that
 * is there. */
static bool exchange_with(graph *g, uint32_t a, uint32_t b) {
  for (unsigned tries = 0; tries < 1000; tries++) {
    uint32_t c = msub_sim_rand(g->s, MSUB_SIM_NOBODY, STREAM, g->n);
    if (g->deg[c] == 0) continue;
    uint32_t d = g->to[(size_t)c * g->row + msub_sim_rand(g->s, MSUB_SIM_NOBODY, STREAM, g->deg[c])];
    if (a == c || b == d || a == d || b == c || linked(g, a, c) || linked(g, b, d)) continue;
    g->to[(size_t)c * g->row + edge(g, c, d)] = a;
    g->to[(size_t)d * g->row + edge(g, d, c)] = b;
    link_one(g, a, c);
    link_one(g, b, d);
    return true;
  }
  return false;
}

int msub_sim_connect_regular(msub_sim *s, uint32_t first, uint32_t n, uint32_t degree) {
  if (!exist(s, first, n) || (n && degree >= n) || (uint64_t)n * degree % 2) return MSUB_ERR_INVAL;
  if (n == 0 || degree == 0) return MSUB_OK;
  graph g;
  size_t ends = (size_t)n * degree;
  uint32_t *end = msub__zalloc(&s->mem, ends, sizeof *end);
  int err = graph_new(&g, s, n, degree);
  if (!end) err = MSUB_ERR_NOMEM;
  if (err == MSUB_OK) {
    for (size_t i = 0; i < ends; i++) end[i] = (uint32_t)(i / degree);
    for (size_t i = ends; i > 1; i--) {
      size_t k = msub_sim_rand(s, MSUB_SIM_NOBODY, STREAM, (uint32_t)i);
      uint32_t x = end[i - 1];
      end[i - 1] = end[k];
      end[k] = x;
    }
    for (size_t i = 0; i < ends && err == MSUB_OK; i += 2) {
      uint32_t a = end[i], b = end[i + 1];
      if (a != b && !linked(&g, a, b)) {
        link_one(&g, a, b);
        link_one(&g, b, a);
      } else if (!exchange_with(&g, a, b)) {
        err = MSUB_ERR_LIMIT;
      }
    }
    for (uint32_t a = 0; a < n && err == MSUB_OK; a++)
      for (uint32_t i = 0; i < degree && err == MSUB_OK; i++) {
        uint32_t b = g.to[(size_t)a * degree + i];
        /* Who dials is as random as who is dialled. */
        if (b < a) continue;
        bool ours = msub_sim_rand(s, MSUB_SIM_NOBODY, STREAM, 2);
        err = dial(s, first + (ours ? a : b), first + (ours ? b : a));
      }
  }
  graph_free(&g);
  msub__free(&s->mem, end, ends * sizeof *end);
  return err;
}

int msub_sim_connect_sparse(msub_sim *s, uint32_t first, uint32_t n) {
  return msub_sim_connect_random(s, first, n, n > 3 ? 3 : n ? n - 1 : 0);
}
int msub_sim_connect_dense(msub_sim *s, uint32_t first, uint32_t n) {
  return msub_sim_connect_random(s, first, n, n > 10 ? 10 : n ? n - 1 : 0);
}
