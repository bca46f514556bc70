/* A simulation that runs out of memory: each allocation fails once. It says so, or goes on, and leaves nothing
 * behind. */
#include <criterion/criterion.h>
#include <string.h>
#include "sim_net.h"

static size_t taken;
static void *on_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)s, (void)peer_id;
  return ud;
}
static size_t on_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  taken += b.n;
  return b.n;
}
static void on_end(void *word, msub_stream *s, msub_end why) { (void)word, (void)s, (void)why; }
static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = on_open,
                                             .on_data = on_data,
                                             .on_end = on_end };

static void on_frame(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *id, msub_bytes frame) {
  (void)ud, (void)s, (void)node, (void)peer, (void)id, (void)frame;
}
static const msub_sim_raw raw = { .abi = MSUB_ABI, .size = sizeof(msub_sim_raw), .on_frame = on_frame };
static const char *const floodsub_only[] = { "/floodsub/1.0.0", NULL };

static int streams(net *w) {
  msub_exchange a = msub_sim_exchange(w->s, 0), b = msub_sim_exchange(w->s, 1);
  msub_stream *st;
  int err = b.ops->serve(b.x, "/x", &handler, w);
  if (err == MSUB_OK) err = a.ops->open(a.x, msub_sim_id(w->s, 1), "/x", MSUB_NEVER, &handler, w, &st);
  if (err == MSUB_OK) {
    a.ops->write(a.x, st, msub_str("some bytes"));
    a.ops->finish(a.x, st);
  }
  return err;
}

/* What a program would do, up to the first error. */
static int a_run(net *w, unsigned form) {
  msub_mem mem = net_mem(w);
  w->s = NULL;
  w->o.mem = &mem;
  w->o.wire = form & 1;
  w->o.negotiate = form & 2;
  w->o.link.loss_ppm = 100000;
  w->n.rendezvous = w->n.dial_hints = true;
  if (form & 1) w->n.up_bytes_s = w->n.down_bytes_s = 100000;
  if (form & 2) w->n.cpu_ppm = 1000000;
  int err = msub_sim_new(&w->o, &w->s);
  uint32_t first;
  if (err == MSUB_OK) err = msub_sim_add(w->s, &w->n, 5, &first);
  w->n.id = msub_str("an id of its own");
  if (err == MSUB_OK) err = msub_sim_add(w->s, &w->n, 1, &first);
  w->n.id = (msub_bytes){ NULL, 0 };
  w->n.raw = &raw;
  w->n.raw_protocols = floodsub_only;
  w->n.n_routers = 0;
  if (err == MSUB_OK) err = msub_sim_add(w->s, &w->n, 1, &first);
  w->n.raw = NULL;
  w->n.n_routers = 1;
  for (uint32_t i = 0; i < 6 && err == MSUB_OK; i++)
    err = msub_join(msub_sim_engine(w->s, i), 0, msub_str("t"), NULL, NULL, msub_sim_now(w->s, i), &w->t[i]);
  if (err == MSUB_OK) err = msub_sim_address(w->s, 0, msub_str("abcd"));
  if (err == MSUB_OK) err = msub_sim_connect_regular(w->s, 0, 6, 3);
  if (err == MSUB_OK) err = msub_sim_connect(w->s, 0, 6, 0);
  if (err == MSUB_OK) err = msub_sim_connect(w->s, 0, 1, 0);
  if (err == MSUB_OK) err = msub_sim_run_for(w->s, 2 * MSUB_SIM_S);
  if (err == MSUB_OK && msub_sim_connected(w->s, 0, 1)) {
    err = streams(w);
    if (err == MSUB_ERR_NOTFOUND) err = MSUB_OK;
  }
  if (err == MSUB_OK && msub_sim_connected(w->s, 6, 0)) err = msub_sim_raw_send(w->s, 6, 0, NULL, msub_str("\x0a\xff"));
  for (uint8_t i = 0; i < 4 && err == MSUB_OK; i++) {
    err = net_publish(w, i, i, 1200);
    if (err == MSUB_OK) err = msub_sim_run_for(w->s, 400 * MSUB_SIM_MS);
  }
  if (err == MSUB_OK) err = msub_sim_crash(w->s, 2);
  if (err == MSUB_OK) err = msub_sim_run_for(w->s, MSUB_SIM_S);
  if (err == MSUB_OK) err = msub_sim_restart(w->s, 2);
  if (err == MSUB_OK) err = msub_sim_disconnect(w->s, 0, 1, 0);
  if (err == MSUB_OK) err = msub_sim_connect(w->s, 2, 3, 0);
  if (err == MSUB_OK) err = msub_sim_run_for(w->s, 2 * MSUB_SIM_S);
  return err;
}

static void sweep(unsigned form, bool gossipsub, size_t step) {
  static net w;
  net_init(&w, gossipsub);
  cr_assert_eq(a_run(&w, form), MSUB_OK);
  size_t all = w.mem.allocs, failed = 0;
  net_stop(&w);
  for (size_t at = 1; at <= all; at += step) {
    net_init(&w, gossipsub);
    w.mem.fail_after = at;
    int err = a_run(&w, form);
    cr_assert(err == MSUB_OK || err == MSUB_ERR_NOMEM || err == MSUB_ERR_LIMIT ||
              err == MSUB_ERR_STALE, "allocation %zu: %s", at,
              msub_err_name(err));
    failed += err != MSUB_OK;
    if (w.s) net_stop(&w);
    cr_assert(w.mem.live_bytes == 0 && w.mem.live_blocks == 0, "allocation %zu", at);
  }
  cr_assert_gt(failed, 0);
}

Test(sim_memory, each_allocation_fails_once_floodsub) {
  for (unsigned form = 0; form < 4; form++) sweep(form, false, 1);
}
Test(sim_memory, each_allocation_fails_once_gossipsub) {
  for (unsigned form = 0; form < 4; form++) sweep(form, true, 3);
}
