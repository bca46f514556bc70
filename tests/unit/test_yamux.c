/* One yamux session against frames made by hand. Ids in the messages are rows of the project's list of known
 * mistakes with this protocol. */
#include "base/rng.h"
#include "count_mem.h"
#include "yamux_peer.h"

#define W 262144u

Test(yamux, opening) {
  owner o;
  uint8_t h[12];
  msub__ystream *s;
  /* SYN on either type, every id parity, ACK with what goes out first (Y-15) */
  for (int type = DATA; type <= WINDOW; type++) {
    for (int initiator = 0; initiator < 2; initiator++) {
      owner_new(&o, initiator, NULL);
      uint32_t theirs = initiator ? 2 : 1, length = type == WINDOW ? 1000 : 5;
      cr_assert_eq(type == WINDOW ? feed(&o, WINDOW, SYN, theirs, length)
                                  : feed_data(&o, SYN, theirs, length),
                   MSUB_OK);
      cr_assert(o.opens == 1 && msub__yamux_id(o.last) == theirs && msub__yamux_is_inbound(o.last));
      cr_assert_eq(o.got, type == DATA ? 5u : 0u, "Y-15 a body is read of Data only");
      cr_assert_eq(msub__yamux_room(o.last), type == WINDOW ? W + 1000 : W,
                   "Y-15 credit is taken of WindowUpdate only");
      cr_assert_eq(msub__yamux_pending(o.y), 12);
      if (type == DATA) {
        cr_assert(sent_is(&o, WINDOW, ACK, theirs, 0));
      } else {
        cr_assert_eq(msub__yamux_data_header(o.last, h, 7), MSUB_OK);
        cr_assert_arr_eq(h, ((uint8_t[]){ 0, DATA, 0, ACK, 0, 0, 0, (uint8_t)theirs, 0, 0, 0, 7 }), 12,
                         "ACK rides on data");
        cr_assert_eq(msub__yamux_pending(o.y), 0);
      }
      cr_assert_eq(feed(&o, WINDOW, SYN, theirs + 1, 0), MSUB_ERR_MALFORMED,
                   "an id of our own parity ends the connection");
      cr_assert(sent_is(&o, GOAWAY, 0, 0, MSUB__GOAWAY_PROTOCOL));
      msub__yamux_free(o.y);

      owner_new(&o, initiator, NULL);
      uint32_t ours = initiator ? 1 : 2;
      cr_assert_eq(msub__yamux_open(o.y, &o, &s), MSUB_OK);
      cr_assert(msub__yamux_id(s) == ours && msub__yamux_word(s) == &o && msub__yamux_of(s) == o.y);
      cr_assert_eq(msub__yamux_pending(o.y), 0, "SYN waits for the first data");
      if (type == DATA) {
        cr_assert_eq(msub__yamux_data_header(s, h, 300), MSUB_OK);
        cr_assert_arr_eq(h, ((uint8_t[]){ 0, DATA, 0, SYN, 0, 0, 0, (uint8_t)ours, 0, 0, 1, 44 }), 12,
                         "SYN rides on data");
        cr_assert_eq(msub__yamux_data_header(s, h, 1), MSUB_OK);
        cr_assert_eq(h[3], 0, "once");
      } else {
        msub__yamux_announce(s);
        cr_assert(sent_is(&o, WINDOW, SYN, ours, 0));
        msub__yamux_announce(s);
        cr_assert_eq(msub__yamux_pending(o.y), 0);
      }
      cr_assert_eq(counts(&o).unacked, 1);
      cr_assert_eq(feed(&o, (uint8_t)type, ACK, ours, 0), MSUB_OK);
      cr_assert_eq(counts(&o).unacked, 0);
      msub__yamux_finish(s);
      cr_assert(sent_is(&o, WINDOW, FIN, ours, 0));
      cr_assert_eq(msub__yamux_data_header(s, h, 1), MSUB_ERR_STATE);
      cr_assert_eq(msub__yamux_room(s), 0);
      cr_assert_eq(feed(&o, (uint8_t)type, FIN, ours, 0), MSUB_OK);
      cr_assert(o.fins == 1 && o.ends == 1 && o.why == MSUB_OK);
      msub__yamux_free(o.y);
    }
  }
  /* finish at once: SYN and FIN in one frame; reset of what was never announced: no frame */
  owner_new(&o, true, NULL);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
  msub__yamux_finish(s);
  cr_assert(sent_is(&o, WINDOW, SYN | FIN, 1, 0));
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
  msub__yamux_reset(s);
  cr_assert_eq(msub__yamux_pending(o.y), 0);
  cr_assert_eq(counts(&o).outbound, 1);
  /* limits of sending */
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
  cr_assert_eq(msub__yamux_data_header(s, h, 0), MSUB_ERR_INVAL);
  cr_assert_eq(msub__yamux_data_header(s, h, MSUB__YAMUX_FRAME_MAX + 1), MSUB_ERR_LIMIT);
  for (unsigned i = 0; i < 16; i++)
    cr_assert_eq(msub__yamux_data_header(s, h, MSUB__YAMUX_FRAME_MAX), MSUB_OK);
  cr_assert(msub__yamux_room(s) == 0 && msub__yamux_data_header(s, h, 1) == MSUB_ERR_LIMIT);
  cr_assert_eq(feed(&o, WINDOW, ACK, msub__yamux_id(s), 10), MSUB_OK);
  cr_assert(o.writables == 1 && msub__yamux_room(s) == 10);
  cr_assert(msub__yamux_data_header(s, h, 11) == MSUB_ERR_LIMIT &&
            msub__yamux_data_header(s, h, 10) == MSUB_OK);
  msub__yamux_free(o.y);
}

/* Y-02, Y-04, Y-06, Y-07: sums of credit around 2^32, on a stream that exists and with SYN. */
Test(yamux, windows) {
  static const struct {
    uint32_t first, second;
    bool first_ok, second_ok;
  } table[] = {
    { 0, 0, true, true },
    { 1, 1, true, true },
    { 0x80000000, 0x7fffffff - W, true, true },
    { 0x80000000, 0x80000000 - W, true, false },
    { UINT32_MAX - W, 0, true, true },
    { UINT32_MAX - W, 1, true, false },
    { UINT32_MAX - W + 1, 0, false, false },
    { UINT32_MAX, 0, false, false },
    { 0x80000000, 0x80000000, true, false },
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    for (int with_syn = 0; with_syn < 2; with_syn++) {
      owner o;
      owner_new(&o, false, NULL);
      if (!with_syn) cr_assert_eq(feed(&o, WINDOW, SYN, 1, 0), MSUB_OK);
      int err = feed(&o, WINDOW, with_syn ? SYN : 0, 1, table[i].first);
      cr_assert_eq(err == MSUB_OK, table[i].first_ok, "%s row %zu", with_syn ? "Y-04" : "Y-02", i);
      if (table[i].first_ok) {
        cr_assert_eq(msub__yamux_room(o.last), (size_t)W + table[i].first);
        err = feed(&o, WINDOW, 0, 1, table[i].second);
        cr_assert_eq(err == MSUB_OK, table[i].second_ok, "Y-02 row %zu second", i);
      } else {
        cr_assert_eq(o.opens, with_syn ? 0u : 1u, "Y-03 nothing is made for a bad frame");
      }
      msub__yamux_free(o.y);
    }
  }
  owner o;
  owner_new(&o, false, NULL);
  cr_assert_eq(feed(&o, WINDOW, SYN, 1, UINT32_MAX), MSUB_ERR_MALFORMED);
  cr_assert(sent_is(&o, GOAWAY, 0, 0, 1), "Y-07 an overflow is a protocol error");
  cr_assert_eq(feed(&o, WINDOW, SYN, 3, 0), MSUB_ERR_MALFORMED, "and the end");
  cr_assert_eq(msub__yamux_pending(o.y), 0);
  msub__yamux_free(o.y);
}

/* Y-03, Y-05: the first frame of a stream, judged by its header alone. */
Test(yamux, first_frames) {
  static const uint32_t lengths[] = { 0, 1, W, W + 1, 1 << 24, UINT32_MAX };
  static const uint16_t with[] = { 0, FIN, RST, ACK, FIN | ACK, RST | ACK, FIN | RST };
  for (size_t l = 0; l < 6; l++) {
    for (size_t f = 0; f < 7; f++) {
      owner o;
      owner_new(&o, false, NULL);
      uint32_t n = lengths[l];
      bool ok = n <= W, rst = with[f] & RST;
      int err = ok ? feed_data(&o, SYN | with[f], 1, n) : feed(&o, DATA, SYN | with[f], 1, n);
      cr_assert_eq(err, ok ? MSUB_OK : MSUB_ERR_MALFORMED, "Y-03 length %u flags %x", n, with[f]);
      cr_assert_eq(o.opens, ok && !rst ? 1u : 0u, "Y-03 nothing is made for a bad frame: length %u flags %x",
                   n, with[f]);
      cr_assert_eq(counts(&o).inbound, o.opens);
      if (ok && !rst) {
        cr_assert_eq(o.got, n);
        cr_assert_eq(o.fins, with[f] & FIN ? 1u : 0u, "the end comes behind the data");
      }
      if (!ok) cr_assert(sent_is(&o, GOAWAY, 0, 0, 1), "Y-05 refused by the header");
      if (ok)
        cr_assert_eq(feed(&o, WINDOW, SYN, 3, 0), MSUB_OK, "the session lives: length %u flags %x", n,
                     with[f]);
      msub__yamux_free(o.y);
    }
  }
  /* later frames: what is left of the window, to the byte */
  for (int over = 0; over < 2; over++) {
    owner o;
    owner_new(&o, false, NULL);
    o.take = 0;
    cr_assert_eq(feed_data(&o, SYN, 1, W - 10), MSUB_OK);
    cr_assert_eq(feed(&o, DATA, 0, 1, over ? 11 : 10), over ? MSUB_ERR_MALFORMED : MSUB_OK, "Y-05");
    cr_assert_eq(counts(&o).buffered, W - 10);
    msub__yamux_free(o.y);
  }
  /* Y-05 a drip: one byte a second holds a byte a second */
  owner o;
  owner_new(&o, false, NULL);
  o.take = 0;
  cr_assert_eq(feed(&o, DATA, SYN, 1, W), MSUB_OK);
  for (unsigned i = 0; i < 100; i++) {
    o.now += MSUB__S;
    cr_assert_eq(feed_bytes(&o, "x", 1), MSUB_OK);
    cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  }
  cr_assert(counts(&o).buffered == 100 && counts(&o).bytes < 4096, "Y-05 memory follows what came");
  msub__yamux_free(o.y);
}

/* What ends a connection, what does not, and which GoAway goes out. */
Test(yamux, wrong_frames) {
  static const struct {
    const char *what;
    uint8_t h[12];
    int err;
    int goaway;
  } table[] = {
    { "Y-06 version 1", { 1, 0, 0, 0, 0, 0, 0, 1 }, MSUB_ERR_MALFORMED, -1 },
    { "Y-06 version 255", { 255, 2 }, MSUB_ERR_MALFORMED, -1 },
    { "type 4", { 0, 4 }, MSUB_ERR_MALFORMED, -1 },
    { "data on stream 0", { 0, 0, 0, SYN }, MSUB_ERR_MALFORMED, 1 },
    { "credit on stream 0", { 0, 1 }, MSUB_ERR_MALFORMED, 1 },
    { "duplicate SYN", { 0, 1, 0, SYN, 0, 0, 0, 1 }, MSUB_ERR_MALFORMED, 1 },
    { "duplicate SYN with RST", { 0, 0, 0, SYN | RST, 0, 0, 0, 1 }, MSUB_ERR_MALFORMED, 1 },
    { "same parity", { 0, 1, 0, SYN, 0, 0, 0, 2 }, MSUB_ERR_MALFORMED, 1 },
    { "unknown stream", { 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5 }, MSUB_OK, -1 },
    { "unknown stream, our parity", { 0, 1, 0, FIN, 0, 0, 0, 2 }, MSUB_OK, -1 },
    { "unknown stream, 2^32-1 of data",
      { 0, 0, 0, 0, 0, 0, 0, 9, 255, 255, 255, 255 },
      MSUB_ERR_MALFORMED,
      1 },
    { "unknown stream, 1 MiB of data", { 0, 0, 0, 0, 0, 0, 0, 9, 0, 16, 0, 0 }, MSUB_OK, -1 },
    { "unknown stream, 1 MiB + 1", { 0, 0, 0, 0, 0, 0, 0, 9, 0, 16, 0, 1 }, MSUB_ERR_MALFORMED, 1 },
    { "unknown flags", { 0, 1, 0xff, 0xf0, 0, 0, 0, 1, 0, 0, 0, 1 }, MSUB_OK, -1 },
    { "GoAway normal", { 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, MSUB_OK, -1 },
    { "GoAway protocol", { 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, MSUB_ERR_CLOSED, -1 },
    { "GoAway internal", { 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 }, MSUB_ERR_CLOSED, -1 },
    { "GoAway of tomorrow", { 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 16, 1 }, MSUB_OK, -1 },
    { "pong that nobody asked for", { 0, 2, 0, ACK, 0, 0, 0, 0, 0, 0, 0, 9 }, MSUB_OK, -1 },
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    for (int split = 0; split < 2; split++) {
      owner o;
      owner_new(&o, false, NULL);
      cr_assert_eq(feed(&o, WINDOW, SYN, 1, 0), MSUB_OK);
      flush(&o);
      int err = MSUB_OK;
      if (split) {
        for (size_t k = 0; k < 12; k++) err = feed_bytes(&o, table[i].h + k, 1);
      } else {
        err = feed_bytes(&o, table[i].h, 12);
      }
      cr_assert_eq(err, table[i].err, "%s: %d", table[i].what, err);
      sent s = next_sent(&o);
      if (table[i].goaway < 0)
        cr_assert_eq(s.type, 255, "%s", table[i].what);
      else
        cr_assert(s.type == GOAWAY && s.length == (uint32_t)table[i].goaway, "%s", table[i].what);
      cr_assert_eq(counts(&o).inbound, 1, "%s", table[i].what);
      cr_assert_eq(msub__yamux_close(o.y, err ? err : MSUB_ERR_CLOSED), MSUB_OK);
      cr_assert_eq(o.ends, 1, "every stream hears of the end");
      msub__yamux_free(o.y);
    }
  }
  /* after a GoAway no stream is opened; those that are open go on */
  owner o;
  msub__ystream *s;
  owner_new(&o, true, NULL);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
  cr_assert_eq(feed(&o, GOAWAY, 0, 0, 0), MSUB_OK);
  cr_assert(o.goaways == 1 && o.goaway_code == 0);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_ERR_CLOSED);
  cr_assert_eq(msub__yamux_room(s), W);
  msub__yamux_goaway(o.y, MSUB__GOAWAY_NORMAL);
  cr_assert(sent_is(&o, GOAWAY, 0, 0, 0));
  cr_assert_eq(feed(&o, WINDOW, SYN, 2, 0), MSUB_OK);
  cr_assert(o.opens == 0 && sent_is(&o, WINDOW, RST, 2, 0), "after our GoAway theirs are refused");
  msub__yamux_free(o.y);
}

/* Y-11: once reset, a stream's later data is dropped, by whomever it was reset, and in the middle of a frame
 * too. */
Test(yamux, after_reset) {
  owner o;
  owner_new(&o, false, NULL);
  cr_assert_eq(feed_data(&o, SYN, 1, 10), MSUB_OK);
  msub__yamux_reset(o.last);
  cr_assert_eq(counts(&o).inbound, 0);
  cr_assert_eq(feed_data(&o, 0, 1, 100), MSUB_OK);
  cr_assert_eq(feed(&o, WINDOW, FIN, 1, 0), MSUB_OK);
  cr_assert(o.got == 10 && o.fins == 0 && o.ends == 0, "Y-11 reset by us");
  cr_assert(sent_is(&o, WINDOW, RST, 1, 0), "RST takes the place of ACK");
  cr_assert_eq(next_sent(&o).type, 255);

  cr_assert_eq(feed_data(&o, SYN, 3, 10), MSUB_OK);
  cr_assert_eq(feed_data(&o, RST, 3, 10), MSUB_OK);
  cr_assert_eq(feed_data(&o, 0, 3, 10), MSUB_OK);
  cr_assert(o.got == 20 && o.ends == 1 && o.why == MSUB_ERR_CLOSED, "Y-11 reset by the peer");
  flush(&o);

  o.reset_on_data = true; /* inside on_data, with the rest of the frame still to come */
  cr_assert_eq(feed(&o, DATA, SYN, 5, 100), MSUB_OK);
  cr_assert_eq(feed_bytes(&o, "0123456789", 10), MSUB_OK);
  static const uint8_t rest[90];
  cr_assert_eq(feed_bytes(&o, rest, 90), MSUB_OK);
  cr_assert_eq(o.got, 30, "Y-11 the rest of the frame is dropped");
  o.reset_on_data = false;
  cr_assert(sent_is(&o, WINDOW, RST, 5, 0));

  cr_assert_eq(feed_data(&o, SYN, 7, 10), MSUB_OK); /* while bytes wait */
  o.take = 0;
  cr_assert_eq(feed_data(&o, 0, 7, 1000), MSUB_OK);
  cr_assert_eq(counts(&o).buffered, 1000);
  o.reset_on_data = true;
  msub__yamux_read(o.last);
  cr_assert(counts(&o).buffered == 0 && counts(&o).inbound == 0);
  o.reset_on_data = false;
  flush(&o);

  o.reset_on_open = true;
  cr_assert_eq(feed_data(&o, SYN | FIN, 9, 10), MSUB_OK);
  cr_assert(sent_is(&o, WINDOW, RST, 9, 0) && counts(&o).inbound == 0);
  o.reset_on_open = false;
  o.refuse = true;
  cr_assert_eq(feed_data(&o, SYN | FIN, 11, 10), MSUB_OK);
  cr_assert(sent_is(&o, WINDOW, RST, 11, 0) && counts(&o).inbound == 0);
  o.refuse = false;

  o.take = SIZE_MAX; /* bytes behind the end: that stream is over, the connection is not */
  cr_assert_eq(feed_data(&o, SYN | FIN, 13, 10), MSUB_OK);
  unsigned ends = o.ends;
  cr_assert_eq(feed_data(&o, 0, 13, 10), MSUB_OK);
  cr_assert(o.ends == ends + 1 && o.why == MSUB_ERR_MALFORMED);
  cr_assert(sent_is(&o, WINDOW, RST, 13, 0));
  msub__yamux_free(o.y);
}

/* Credit: given back for bytes taken, when they are half a window; the window grows when it turns over within
 * four round trips. */
Test(yamux, credit) {
  owner o;
  owner_new(&o, false, NULL);
  cr_assert_eq(feed_data(&o, SYN, 1, W / 2 - 1), MSUB_OK);
  cr_assert(sent_is(&o, WINDOW, ACK, 1, 0), "less than half: no credit yet");
  cr_assert_eq(feed_data(&o, 0, 1, 1), MSUB_OK);
  sent s;
  cr_assert(sent_is(&o, WINDOW, 0, 1, W / 2));
  cr_assert(sent_is(&o, PING, SYN, 0, 1), "the round trip is wanted when credit flows");
  o.take = 0; /* not taken: no credit, however much came */
  cr_assert_eq(feed_data(&o, 0, 1, W / 2), MSUB_OK);
  cr_assert_eq(next_sent(&o).type, 255);
  cr_assert_eq(msub__yamux_unread(o.last), W / 2);
  o.take = SIZE_MAX;
  msub__yamux_read(o.last);
  s = next_sent(&o);
  cr_assert(s.type == WINDOW && s.length == W / 2);
  msub__yamux_free(o.y);

  /* growth: the peer answers pings after 10 ms and fills each window in `turn` */
  static const struct {
    uint64_t turn;
    uint32_t end;
  } table[] = { { 5 * MSUB__MS, 1 << 20 }, { 39 * MSUB__MS, 1 << 20 }, { 41 * MSUB__MS, W } };
  for (size_t i = 0; i < 3; i++) {
    owner_new(&o, false, NULL);
    cr_assert_eq(feed(&o, WINDOW, SYN, 1, 0), MSUB_OK);
    msub__yamux_ping(o.y);
    cr_assert(sent_is(&o, PING, SYN, 0, 1));
    o.now += 10 * MSUB__MS;
    cr_assert_eq(feed(&o, PING, ACK, 0, 1), MSUB_OK);
    cr_assert_eq(msub__yamux_rtt(o.y), 10 * MSUB__MS);
    flush(&o);
    uint32_t left = W;
    for (unsigned round = 0; round < 12; round++) {
      o.now += table[i].turn;
      while (left > 0) {
        uint32_t n = left < 60000 ? left : 60000;
        cr_assert_eq(feed_data(&o, 0, 1, n), MSUB_OK);
        left -= n;
      }
      for (s = next_sent(&o); s.type != 255; s = next_sent(&o)) left += s.type == WINDOW ? s.length : 0;
    }
    cr_assert_eq(left, table[i].end, "turn %zu: window %u", i, left);
    msub__yamux_free(o.y);
  }
}

/* Y-01, Y-08: a peer that never reads, and floods. */
Test(yamux, never_reading) {
  owner o;
  owner_new(&o, false, NULL);
  /* streams opened and refused without our output ever leaving */
  o.refuse = true;
  size_t most = 0;
  uint32_t id = 1, kept = 0;
  for (unsigned i = 0; i < 100000; i++, id += 2) {
    uint8_t h[12];
    size_t used;
    header(h, DATA, SYN, id, 0);
    if (!msub__yamux_reading(o.y)) {
      kept++;
      continue; /* it lies in the socket */
    }
    o.now += 40 * MSUB__MS; /* slower than the bucket of resets */
    cr_assert_eq(msub__yamux_input(o.y, o.now, (msub_bytes){ h, 12 }, &used), MSUB_OK);
    if (counts(&o).bytes > most) most = counts(&o).bytes;
    cr_assert(msub__yamux_pending(o.y) <= MSUB__YAMUX_PENDING_MAX, "Y-01 control frames are bounded");
  }
  cr_assert(kept > 90000 && most < 200 * 1024, "Y-01 memory is flat: %zu", most);
  cr_assert(!msub__yamux_reading(o.y));
  uint64_t t = msub__yamux_next_deadline(o.y);
  cr_assert(t <= o.now + 10 * MSUB__S, "Y-01 and its time is limited");
  cr_assert_eq(msub__yamux_advance(o.y, t - 1), MSUB_OK);
  cr_assert_eq(msub__yamux_advance(o.y, t), MSUB_ERR_TIMEOUT, "Y-01 closed");
  msub__yamux_free(o.y);

  /* refusals by the limit of streams, which need no object */
  owner_new(&o, false, NULL);
  for (unsigned i = 0; i < 512; i++) {
    cr_assert_eq(feed(&o, WINDOW, SYN, 1 + 2 * i, 0), MSUB_OK);
    flush(&o);
  }
  cr_assert_eq(o.opens, 512);
  for (unsigned i = 0; i < 16; i++) cr_assert_eq(feed(&o, WINDOW, SYN, 1025 + 2 * i, 0), MSUB_OK);
  cr_assert(o.opens == 512 && counts(&o).inbound == 512 && counts(&o).refused == 16, "512 streams, not 513");
  cr_assert(!msub__yamux_reading(o.y));
  for (unsigned i = 0; i < 16; i++) cr_assert(sent_is(&o, WINDOW, RST, 1025 + 2 * i, 0));
  cr_assert(msub__yamux_reading(o.y));
  msub__yamux_free(o.y);

  /* all of it in one piece: what is not used stays with the owner, whose output makes room again */
  owner_new(&o, false, NULL);
  o.refuse = true;
  static uint8_t flood[900 * 12];
  size_t at = 0, used;
  unsigned turns = 0;
  for (uint32_t i = 0; i < 900; i++) header(flood + 12 * i, DATA, SYN, 1 + 2 * i, 0);
  while (at < sizeof flood) {
    cr_assert_eq(msub__yamux_input(o.y, o.now, (msub_bytes){ flood + at, sizeof flood - at }, &used),
                 MSUB_OK);
    at += used;
    turns++;
    cr_assert(at == sizeof flood || !msub__yamux_reading(o.y), "Y-01 it stops by itself");
    flush(&o);
  }
  cr_assert(turns == 2 && o.opens == 900, "%u turns", turns);
  msub__yamux_free(o.y);

  /* the owner's own frames count too: with all of them due reading stops, and the clock starts */
  owner_new(&o, true, NULL);
  msub__ystream *all[512 + 256];
  for (uint32_t i = 0; i < 512; i++) {
    cr_assert_eq(feed(&o, WINDOW, SYN, 2 + 2 * i, 0), MSUB_OK);
    all[i] = o.last;
    flush(&o);
  }
  for (unsigned i = 512; i < 512 + 256; i++) cr_assert_eq(msub__yamux_open(o.y, NULL, &all[i]), MSUB_OK);
  for (unsigned i = 0; i < 512 + 256; i++) msub__yamux_finish(all[i]);
  cr_assert(!msub__yamux_reading(o.y) && msub__yamux_next_deadline(o.y) == o.now);
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now + MSUB__YAMUX_WRITE_NS);
  flush(&o);
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now + MSUB__YAMUX_KEEPALIVE_NS, "written: the clock stops");
  msub__yamux_free(o.y);

  /* Y-08: a million pings in ten seconds; slot of one, two a second */
  owner_new(&o, false, NULL);
  unsigned replies = 0;
  for (unsigned i = 0; i < 1000000; i++) {
    o.now += 10000;
    cr_assert_eq(feed(&o, PING, SYN, 0, i), MSUB_OK);
    if (i % 100 == 0) {
      for (sent s = next_sent(&o); s.type != 255; s = next_sent(&o))
        replies += s.type == PING && s.flags == ACK;
    }
  }
  cr_assert(replies >= 19 && replies <= 21, "Y-08 %u replies", replies);
  cr_assert(counts(&o).bytes < 1024, "Y-08 no growth");
  /* an honest second ping right after the first is answered too, half a second later */
  o.now += 10 * MSUB__S;
  cr_assert_eq(feed(&o, PING, SYN, 0, 1), MSUB_OK);
  flush(&o);
  cr_assert_eq(feed(&o, PING, SYN, 0, 77), MSUB_OK);
  cr_assert_eq(next_sent(&o).type, 255);
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now + MSUB__YAMUX_PING_GAP_NS);
  o.now += MSUB__YAMUX_PING_GAP_NS;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert(sent_is(&o, PING, ACK, 0, 77));
  msub__yamux_free(o.y);
}

/* Y-13: empty frames and resets come out of buckets; a peer that empties one is gone. */
Test(yamux, floods) {
  static const struct {
    const char *what;
    uint8_t type;
    uint16_t flags;
    uint32_t id;
    bool churn;
    unsigned burst, per_s;
  } table[] = {
    { "empty Data", DATA, 0, 1, false, 100, 20 },
    { "WindowUpdate by 0", WINDOW, 0, 1, false, 100, 20 },
    { "empty Data on no stream", DATA, 0, 99, false, 100, 20 },
    { "FIN again and again", WINDOW, FIN, 1, false, 100, 20 },
    { "stray pongs", PING, ACK, 0, false, 100, 20 },
    { "RST on no stream", WINDOW, RST, 99, false, 1000, 33 },
    { "SYN and RST in one frame", WINDOW, SYN | RST, 101, false, 1000, 33 },
    { "SYN, then RST", WINDOW, RST, 101, true, 1000, 33 },
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    for (int at_rate = 0; at_rate < 2; at_rate++) {
      owner o;
      owner_new(&o, false, NULL);
      cr_assert_eq(feed(&o, WINDOW, SYN, 1, 0), MSUB_OK);
      if (table[i].flags & FIN) cr_assert_eq(feed(&o, WINDOW, FIN, 1, 0), MSUB_OK);
      flush(&o);
      int err = MSUB_OK;
      unsigned n = 0;
      for (; !err && n < 5000; n++) {
        if (table[i].churn) cr_assert_eq(feed(&o, WINDOW, SYN, table[i].id, 0), MSUB_OK);
        err = feed(&o, table[i].type, table[i].flags, table[i].id, 0);
        if (!err) flush(&o);
        if (at_rate) o.now += MSUB__S / table[i].per_s;
      }
      if (at_rate)
        cr_assert_eq(err, MSUB_OK, "Y-13 %s at the allowed rate", table[i].what);
      else
        cr_assert(err == MSUB_ERR_LIMIT && n == table[i].burst + 1, "Y-13 %s: %u", table[i].what, n);
      if (!at_rate) cr_assert(sent_is(&o, GOAWAY, 0, 0, 1));
      msub__yamux_free(o.y);
    }
  }
  /* what go does all day costs nothing: open by WindowUpdate 0, acknowledge by WindowUpdate 0, finish by
   * WindowUpdate 0 */
  owner o;
  owner_new(&o, false, NULL);
  o.finish_on_fin = true;
  for (uint32_t id = 1; id < 20000; id += 2) {
    cr_assert_eq(feed(&o, WINDOW, SYN, id, 0), MSUB_OK);
    cr_assert_eq(feed(&o, WINDOW, FIN, id, 0), MSUB_OK);
    flush(&o);
    msub__ystream *s;
    cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
    msub__yamux_announce(s);
    flush(&o);
    cr_assert_eq(feed(&o, WINDOW, ACK, id + 1, 0), MSUB_OK);
    cr_assert_eq(feed(&o, WINDOW, FIN, id + 1, 0), MSUB_OK);
    flush(&o);
  }
  cr_assert(o.ends == 20000 && counts(&o).inbound == 0 && counts(&o).outbound == 0 && counts(&o).stray == 0);
  msub__yamux_free(o.y);
}

Test(yamux, outbound_limits) {
  owner o;
  msub__ystream *s, *all[600];
  owner_new(&o, true, NULL);
  for (unsigned i = 0; i < 256; i++) cr_assert_eq(msub__yamux_open(o.y, NULL, &all[i]), MSUB_OK, "%u", i);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_ERR_LIMIT, "256 unacknowledged, not 257");
  for (unsigned i = 0; i < 256; i++) {
    msub__yamux_announce(all[i]);
    flush(&o);
    cr_assert_eq(feed(&o, WINDOW, ACK, msub__yamux_id(all[i]), 0), MSUB_OK);
  }
  for (unsigned i = 256; i < 512; i++) cr_assert_eq(msub__yamux_open(o.y, NULL, &all[i]), MSUB_OK);
  msub__yamux_announce(all[511]);
  flush(&o);
  cr_assert_eq(feed(&o, WINDOW, ACK, msub__yamux_id(all[511]), 0), MSUB_OK);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_ERR_LIMIT, "512 of our own, not 513");
  /* half open for five minutes */
  o.now += MSUB__YAMUX_HALF_OPEN_NS - 1;
  cr_assert_eq(feed(&o, PING, SYN, 0, 0), MSUB_OK);
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(o.ends, 0);
  o.now += 1;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert(o.ends == 255 && o.why == MSUB_ERR_TIMEOUT && counts(&o).outbound == 257,
            "Y-09 unanswered streams end: %u", o.ends);
  msub__yamux_finish(all[0]);
  flush(&o);
  o.now += MSUB__YAMUX_HALF_OPEN_NS;
  cr_assert_eq(feed(&o, PING, SYN, 0, 0), MSUB_OK);
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(o.ends, 256, "Y-09 and one that the peer never finishes");
  msub__yamux_free(o.y);
}

Test(yamux, keepalive) {
  owner o;
  owner_new(&o, true, NULL);
  uint64_t start = o.now;
  cr_assert_eq(msub__yamux_next_deadline(o.y), start + 30 * MSUB__S);
  o.now = start + 30 * MSUB__S - 1;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(msub__yamux_pending(o.y), 0);
  o.now += 1;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert(sent_is(&o, PING, SYN, 0, 1));
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now + 10 * MSUB__S);
  o.now += 7 * MSUB__MS;
  cr_assert_eq(feed(&o, PING, ACK, 0, 1), MSUB_OK);
  cr_assert(o.pongs == 1 && msub__yamux_rtt(o.y) == 7 * MSUB__MS);
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now + 30 * MSUB__S);
  o.now += 30 * MSUB__S;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  flush(&o);
  o.now += 10 * MSUB__S - 1;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  o.now += 1;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_ERR_TIMEOUT, "no pong: dead");
  cr_assert_eq(msub__yamux_next_deadline(o.y), MSUB_NEVER);
  msub__yamux_free(o.y);
  /* a ping that cannot even be written */
  owner_new(&o, true, NULL);
  o.now += 30 * MSUB__S;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(msub__yamux_advance(o.y, o.now + 10 * MSUB__S), MSUB_ERR_TIMEOUT);
  msub__yamux_free(o.y);
  /* a clock near its end */
  owner_new(&o, true, NULL);
  o.now = UINT64_MAX - 5;
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert(msub__yamux_next_deadline(o.y) >= o.now, "Y-06 sums of time saturate");
  msub__yamux_free(o.y);
}

/* Y-12, U-01: what is kept unread is bounded by stream, by connection and over all connections. */
Test(yamux, unread_bytes) {
  owner o;
  owner_new(&o, false, NULL);
  o.take = 0;
  uint32_t id = 1;
  static const uint8_t body[W];
  unsigned full = 0;
  for (; full < 32 && msub__yamux_reading(o.y); full++, id += 2) {
    cr_assert_eq(feed(&o, DATA, SYN, id, W), MSUB_OK);
    size_t used;
    cr_assert_eq(msub__yamux_input(o.y, o.now, (msub_bytes){ body, W }, &used), MSUB_OK);
    cr_assert(counts(&o).buffered <= MSUB__YAMUX_BUFFERED_MAX, "Y-12");
    flush(&o);
  }
  cr_assert_eq(full, 16, "Y-12 16 windows are 4 MiB");
  cr_assert(!msub__yamux_reading(o.y) && counts(&o).buffered == MSUB__YAMUX_BUFFERED_MAX);
  uint64_t t = msub__yamux_next_deadline(o.y);
  cr_assert_eq(t, o.now + MSUB__YAMUX_DRAIN_NS);
  cr_assert_eq(msub__yamux_advance(o.y, t - 1), MSUB_OK);
  cr_assert_eq(o.ends, 0);
  cr_assert_eq(msub__yamux_advance(o.y, t), MSUB_OK);
  cr_assert(o.ends == 1 && o.why == MSUB_ERR_LIMIT && msub__yamux_reading(o.y),
            "Y-12 the fullest stream goes");
  cr_assert_eq(counts(&o).buffered, MSUB__YAMUX_BUFFERED_MAX - W);
  msub__yamux_free(o.y);

  /* a reader who drains in time loses nothing */
  owner_new(&o, false, NULL);
  o.take = 0;
  for (id = 1; id < 33; id += 2) {
    size_t used;
    cr_assert_eq(feed(&o, DATA, SYN, id, W), MSUB_OK);
    cr_assert_eq(msub__yamux_input(o.y, o.now, (msub_bytes){ body, W }, &used), MSUB_OK);
    flush(&o);
  }
  o.now += 9 * MSUB__S;
  o.take = 1;
  msub__yamux_read(o.last);
  cr_assert(msub__yamux_reading(o.y));
  o.now += 9 * MSUB__S;
  cr_assert_eq(feed(&o, PING, SYN, 0, 0), MSUB_OK);
  cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(o.ends, 0);
  msub__yamux_free(o.y);

  /* with more than 1 MiB unread no window grows, and when others have to drain it looks again by itself */
  msub__yamux_shared small = { .max = 3 << 20 };
  owner_new(&o, false, &small);
  msub__yamux_ping(o.y);
  flush(&o);
  o.now += MSUB__S;
  cr_assert_eq(feed(&o, PING, ACK, 0, 1), MSUB_OK);
  o.take = 0;
  for (id = 1; id < 11; id += 2) {
    cr_assert_eq(feed(&o, DATA, SYN, id, W), MSUB_OK);
    cr_assert_eq(feed_bytes(&o, body, W), MSUB_OK);
    flush(&o);
  }
  o.take = SIZE_MAX;
  cr_assert_eq(feed_data(&o, SYN, 11, W), MSUB_OK);
  for (sent s = next_sent(&o); s.type != 255; s = next_sent(&o)) cr_assert(s.type != WINDOW || s.length <= W);
  o.take = 0;
  size_t part;
  cr_assert_eq(feed(&o, DATA, SYN, 13, W), MSUB_OK);
  cr_assert_eq(msub__yamux_input(o.y, o.now, (msub_bytes){ body, W }, &part), MSUB_OK);
  cr_assert(part < W && !msub__yamux_reading(o.y) && small.buffered < small.max / 2 + 4096, "%zu",
            small.buffered);
  cr_assert(msub__yamux_next_deadline(o.y) < o.now + MSUB__S);
  msub__yamux_free(o.y);
  cr_assert_eq(small.buffered, 0);

  /* 160 such connections: never over the common bound, and one that reads is not held up */
  static owner many[160];
  msub__yamux_shared shared = { 0 };
  for (unsigned i = 0; i < 160; i++) {
    owner_new(&many[i], false, &shared);
    many[i].take = 0;
  }
  for (id = 1; id < 65; id += 2) {
    for (unsigned i = 0; i < 160; i++) {
      size_t used;
      uint8_t h[12];
      if (!msub__yamux_reading(many[i].y)) continue;
      header(h, DATA, SYN, id, W);
      cr_assert_eq(msub__yamux_input(many[i].y, many[i].now, (msub_bytes){ h, 12 }, &used), MSUB_OK);
      cr_assert_eq(msub__yamux_input(many[i].y, many[i].now, (msub_bytes){ body, W }, &used), MSUB_OK);
      flush(&many[i]);
      cr_assert(shared.buffered <= MSUB__YAMUX_SHARED_MAX, "%zu", shared.buffered);
    }
  }
  cr_assert(shared.buffered > MSUB__YAMUX_SHARED_MAX / 2, "%zu", shared.buffered);
  owner_new(&o, false, &shared);
  o.take = SIZE_MAX;
  cr_assert_eq(feed_data(&o, SYN, 1, W), MSUB_OK);
  cr_assert_eq(o.got, W, "Y-12 the one that takes is not held up");
  o.take = 0;
  cr_assert_eq(feed_data(&o, SYN, 3, 1026), MSUB_OK);
  cr_assert_eq(counts(&o).buffered, 1026, "and may keep a line");
  for (unsigned i = 0; i < 160; i++) msub__yamux_free(many[i].y);
  cr_assert_eq(shared.buffered, 1026);
  msub__yamux_free(o.y);
  cr_assert_eq(shared.buffered, 0, "counts come back to zero");
}

/* Calls that callbacks may make, and those they may not. */
static owner *reentrant;
static bool enter_open(void *ud, msub__ystream *s, void **word) {
  uint8_t h[12];
  size_t used;
  msub__ystream *mine;
  (void)ud, (void)word;
  cr_assert_eq(msub__yamux_input(reentrant->y, 0, (msub_bytes){ h, 0 }, &used), MSUB_ERR_STATE);
  cr_assert_eq(msub__yamux_output(reentrant->y, 0, h, 12), 0);
  cr_assert_eq(msub__yamux_advance(reentrant->y, 0), MSUB_ERR_STATE);
  cr_assert_eq(msub__yamux_close(reentrant->y, 0), MSUB_ERR_STATE);
  cr_assert_eq(msub__yamux_open(reentrant->y, NULL, &mine), MSUB_OK);
  cr_assert_eq(msub__yamux_data_header(mine, h, 5), MSUB_OK);
  msub__yamux_finish(mine);
  cr_assert_eq(msub__yamux_open(reentrant->y, NULL, &mine), MSUB_OK);
  msub__yamux_reset(mine);
  msub__yamux_read(s);
  msub__yamux_ping(reentrant->y);
  reentrant->last = s;
  return true;
}

Test(yamux, reentry_and_memory) {
  owner o;
  static msub__yamux_ops ops;
  ops = own_ops;
  ops.on_open = enter_open;
  o = (owner){ .take = 3, .now = MSUB__S, .ask_again = true };
  msub__yamux_options opt = { .ops = &ops, .ud = &o };
  cr_assert_eq(msub__yamux_new(&opt, o.now, &o.y), MSUB_OK);
  reentrant = &o;
  cr_assert_eq(feed_data(&o, SYN, 1, 100), MSUB_OK);
  cr_assert(counts(&o).inbound == 1 && counts(&o).outbound == 1);
  cr_assert(o.got >= 6 && o.got < 100, "read() in a callback delivers after it, once: %zu", o.got);
  cr_assert_eq(msub__yamux_next_deadline(o.y), o.now, "and the rest at the next call");
  while (o.got < 100) cr_assert_eq(msub__yamux_advance(o.y, o.now), MSUB_OK);
  cr_assert_eq(msub__yamux_close(o.y, MSUB_ERR_IO), MSUB_OK);
  cr_assert(o.ends == 2 && o.why == MSUB_ERR_IO);
  cr_assert_eq(msub__yamux_open(o.y, NULL, &o.last), MSUB_ERR_CLOSED);
  cr_assert_eq(msub__yamux_close(o.y, 0), MSUB_OK);
  msub__yamux_free(o.y);
  msub__yamux_free(NULL);

  static msub__yamux_ops few = { .on_data = own_data, .on_fin = own_fin, .on_end = own_end };
  opt.ops = &few;
  cr_assert_eq(msub__yamux_new(&opt, o.now, &o.y), MSUB_OK);
  cr_assert_eq(feed(&o, WINDOW, SYN, 1, 0), MSUB_OK);
  cr_assert(sent_is(&o, WINDOW, RST, 1, 0), "without on_open every stream is refused");
  cr_assert_eq(msub__yamux_open(o.y, NULL, &o.last), MSUB_OK);
  cr_assert_eq(feed(&o, PING, SYN, 0, 0), MSUB_OK);
  cr_assert_eq(feed(&o, GOAWAY, 0, 0, 0), MSUB_OK);
  msub__yamux_goaway(o.y, MSUB__GOAWAY_NORMAL);
  msub__yamux_goaway(o.y, MSUB__GOAWAY_INTERNAL);
  cr_assert(sent_is(&o, GOAWAY, 0, 0, MSUB__GOAWAY_NORMAL), "the first one counts");
  msub__yamux_free(o.y);
  few.on_end = NULL;
  cr_assert_eq(msub__yamux_new(&opt, o.now, &o.y), MSUB_ERR_INVAL);

  owner_new(&o, true, NULL); /* an idle connection with the usual four streams */
  msub__ystream *s;
  for (unsigned i = 0; i < 2; i++) {
    cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
    cr_assert_eq(feed_data(&o, SYN, 2 + 2 * i, 1000), MSUB_OK);
  }
  cr_assert(counts(&o).bytes <= 1024, "%zu", counts(&o).bytes);
  msub__yamux_free(o.y);
}

/* Every allocation of a busy sequence fails once: an error, nothing lost, and the same input then goes
 * through. */
Test(yamux, out_of_memory) {
  count_mem c = { .live_blocks = 0 };
  msub_mem mem = count_mem_of(&c);
  unsigned failures = 0;
  for (size_t at = 1; at <= 60; at++) {
    owner o = { .take = 0, .now = MSUB__S };
    msub__yamux_options opt = { .mem = &mem, .ops = &own_ops, .ud = &o };
    uint8_t in[12 * 40 + 40 * 100];
    size_t n = 0, at_in = 0, used;
    for (uint32_t i = 0; i < 40; i++) {
      header(in + n, DATA, SYN, 1 + 2 * i, 100);
      memset(in + n + 12, (int)i, 100);
      n += 112;
    }
    c.fail_after = at;
    int err = msub__yamux_new(&opt, o.now, &o.y);
    if (err) {
      cr_assert_eq(err, MSUB_ERR_NOMEM);
      failures++;
      continue;
    }
    while (at_in < n) {
      err = msub__yamux_input(o.y, o.now, (msub_bytes){ in + at_in, n - at_in }, &used);
      at_in += used;
      cr_assert(err == MSUB_OK || err == MSUB_ERR_NOMEM);
      failures += err != MSUB_OK;
      flush(&o);
    }
    msub__ystream *s = NULL;
    c.fail_after = 1;
    cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_ERR_NOMEM);
    cr_assert_eq(msub__yamux_open(o.y, NULL, &s), MSUB_OK);
    cr_assert_eq(msub__yamux_id(s), 2, "a failed open uses no id");
    msub__yamux_reset(s);
    cr_assert(o.opens == 40 && counts(&o).inbound == 40 && counts(&o).buffered == 4000, "allocation %zu", at);
    msub__yamux_free(o.y);
    cr_assert_eq(c.live_blocks, 0);
  }
  cr_assert(failures > 40, "%u", failures);
}
