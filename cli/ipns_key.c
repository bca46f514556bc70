/* meshsub ipns key: the keys of IPNS names, in a store or in that of a running node. */
#include "cli/files.h"
#include "cli/ipns_cmd.h"
#include "cli/keyring.h"
#include "cli/loop.h"
#include "cli/remote.h"
#include "cli/store.h"
#include <meshsub/ipns.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the keys are: of a running node, or of a store that is opened here. */
typedef struct place {
  const command *c;
  const char *socket, *dir;
  bool json;
  remote r;
  node_store *store;
  keyring *keys;
  int added; /* of keyring_add() */
} place;

#define PLACE_OPTIONS(p)                                                                                            \
  { "--store", 0, OPT_TEXT, "DIR", "The store that has the keys, of a node that does not run now.\nMade if it is not there.", &(p)->dir, 0, 0, NULL }, \
  { "--socket", 0, OPT_TEXT, "PATH", "The socket of the running node that has them. Default: what\n"                \
    "MESHSUB_SOCKET says, when --store is not there.", &(p)->socket, 0, 0, NULL },                                  \
  { "--json", 0, OPT_FLAG, NULL, "JSON objects, one a line.", &(p)->json, 0, 0, NULL }

static bool durable(void *ud, msub_token token, int result) { return keyring_durable(((place *)ud)->keys, token, result); }

static int begin(place *p, bool make) {
  json_wipe();
  if (p->dir && p->socket) return usage_error(p->c, "--store and --socket: the keys are in one of them; leave the other out");
  if (!p->dir && !p->socket && !getenv("MESHSUB_SOCKET"))
    return usage_error(p->c, "where are the keys? Give --store DIR, or --socket PATH of a running node");
  if (!p->dir) return remote_open(&p->r, p->c, p->socket);
  int code = store_take(p->c, p->dir, make, &p->store);
  if (code >= 0) return code;
  p->keys = keyring_open(p->c->program, store_of(p->store));
  store_listen(p->store, durable, p);
  return -1;
}

static void end(place *p) {
  if (!p->dir) remote_close(&p->r);
  keyring_close(p->keys);
  store_close(p->store);
}

static json_t *key_json(const keyring_key *k) {
  char name[MSUB_IPNS_NAME_TEXT];
  json_t *j = json_object();
  json_object_set_new(j, "label", json_string(k->label));
  json_object_set_new(j, "name", json_string(msub_ipns_name_text(msub_key_peer_id(k->key), name)));
  json_object_set_new(j, "peer", json_peer(msub_key_peer_id(k->key)));
  json_object_set_new(j, "type", json_string(key_type_name(msub_key_type_of(k->key))));
  return j;
}

static const char *text_in(const json_t *j, const char *key) {
  const char *text = json_string_value(json_object_get(j, key));
  return text ? text : "";
}

/* Takes the reference. What belongs to the answer alone is left out. */
static void print(const place *p, json_t *j, bool all) {
  json_object_del(j, "id");
  json_object_del(j, "ok");
  if (p->json) {
    put_json(stdout, j);
    return;
  }
  if (all) printf("%s %s %s\n", text_in(j, "name"), text_in(j, "label"), text_in(j, "type"));
  else puts(text_in(j, "name"));
  json_decref(j);
}

static void kept(void *ud, int result, const keyring_key *k) {
  (void)k;
  ((place *)ud)->added = result;
}

/* Takes the key. */
static int add(place *p, const char *label, msub_key *key) {
  char why[160];
  if (!p->dir) {
    uint8_t bytes[KEY_BYTES_MAX];
    json_t *q = remote_request("ipns_key_import"), *reply;
    size_t n = msub_key_export(key, bytes, sizeof bytes);
    char *text = base64_text((msub_bytes){ bytes, n });
    json_object_set_new(q, "label", json_string(label));
    json_object_set_new(q, "key_base64", json_string(text));
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, strlen(text));
    free(text);
    msub_key_free(key);
    int code = remote_ask(&p->r, q, quoted(label), NULL, &reply);
    if (code < 0) print(p, json_incref(reply), false);
    json_decref(reply);
    return code;
  }
  if (keyring_add(p->keys, label, key, kept, p, why) != MSUB_OK) {
    msub_key_free(key);
    say_error(p->c->program, "%s: %s", quoted(label), why);
    return EXIT_FAILED;
  }
  store_settle(p->store);
  if (p->added != MSUB_OK) return EXIT_FAILED; /* the store has said why */
  print(p, key_json(keyring_find(p->keys, label)), false);
  return -1;
}

static int finish(place *p, int code) {
  end(p);
  if (code < 0) code = flush_out(p->c->program, stdout) ? EXIT_OK : EXIT_FAILED;
  return code;
}

static int check_label(const command *c, const char *label) {
  const char *wrong = keyring_label_wrong(label);
  if (wrong) return usage_error(c, "LABEL %s: %s", quoted(label), wrong);
  return strcmp(label, KEYRING_SELF) == 0 ? usage_error(c, "LABEL \"self\": the node's own key, which it makes when it starts with a store first; choose another") : -1;
}

static int key_new(int argc, char **argv) {
  static const command c = {
    "meshsub ipns key new", "LABEL [options]",
    "Makes a key for a new IPNS name, which is called LABEL here, in the store of a node.\n"
    "Prints the name. A key is never overwritten.",
    "JSON: {\"label\",\"name\",\"peer\",\"type\"}.\n\nExit codes: 0 done, 1 failed, 2 wrong usage."
  };
  place p = { .c = &c, .r = { .fd = -1, .stop_fd = -1 } };
  const char *type_name = NULL;
  uint64_t bits = KEY_BITS;
  const option_row rows[] = { KEY_TYPE_OPTIONS(&type_name, &bits), PLACE_OPTIONS(&p), { 0 } };
  text_list args = { 0 };
  msub_key_type type;
  msub_key *key = NULL;
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one LABEL at a time" : "LABEL is missing: what the key is to be called");
  if (code < 0) code = check_label(&c, args.v[0]);
  if (code < 0) code = key_type_option(&c, type_name, &type);
  if (code < 0) code = begin(&p, true);
  if (code < 0) code = key_make(c.program, type, (unsigned)bits, &key);
  if (code < 0) code = add(&p, args.v[0], key);
  free(args.v);
  return finish(&p, code);
}

static bool is_pem(msub_bytes b) {
  static const char begins[] = "-----BEGIN ";
  return memmem(b.p, b.n, begins, sizeof begins - 1) != NULL;
}

static int key_import(int argc, char **argv) {
  static const command c = {
    "meshsub ipns key import", "LABEL FILE [options]",
    "Takes a private key into the store of a node, where it is called LABEL: a libp2p\n"
    "PrivateKey (\"ipfs key export\", \"meshsub key new\"), or PEM (\"ipfs key export\n"
    "--format=pem-pkcs8-cleartext\", openssl). Prints the name. A key is never overwritten.",
    "JSON: {\"label\",\"name\",\"peer\",\"type\"}.\n\nExit codes: 0 done, 1 failed, or FILE is no key, 2 wrong usage."
  };
  place p = { .c = &c, .r = { .fd = -1, .stop_fd = -1 } };
  const char *secret_file = NULL;
  const option_row rows[] = { { "--passphrase", 0, OPT_TEXT, "FILE", "Of an encrypted PEM; the first line of FILE.", &secret_file, 0, 0, NULL },
                              PLACE_OPTIONS(&p), { 0 } };
  text_list args = { 0 };
  uint8_t bytes[KEY_BYTES_MAX], secret[1024];
  size_t n = 0, secret_n = 0;
  msub_key *key = NULL;
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2) code = usage_error(&c, args.n > 2 ? "one LABEL and one FILE only" : "LABEL and FILE are wanted; say how it is to be called, and where it is");
  if (code < 0) code = check_label(&c, args.v[0]);
  if (code < 0) code = key_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = read_file(&c, "", args.v[1], bytes, sizeof bytes, &n);
  if (code < 0 && is_pem((msub_bytes){ bytes, n })) {
    code = key_of_pem(&c, args.v[1], (msub_bytes){ bytes, n }, (msub_bytes){ secret, secret_n }, &key);
  } else if (code < 0) {
    int err = msub_key_import((msub_bytes){ bytes, n }, &key);
    if (err != MSUB_OK) {
      say_error(c.program, "%s: neither a libp2p private key (%s) nor PEM", quoted(args.v[1]), msub_err_text(err));
      code = EXIT_FAILED;
    }
  }
  explicit_bzero(bytes, sizeof bytes);
  explicit_bzero(secret, sizeof secret);
  if (code < 0) code = begin(&p, true);
  if (code < 0) code = add(&p, args.v[0], key);
  else msub_key_free(key);
  free(args.v);
  return finish(&p, code);
}

/* A private key of the place: -1 and *out (free it), or an exit code. */
static int fetch_key(place *p, const char *label, msub_key **out) {
  const keyring_key *k = p->dir ? keyring_find(p->keys, label) : NULL;
  if (p->dir && !k) {
    say_error(p->c->program, "%s: there is no such key in %s; \"meshsub ipns key list\" has them", quoted(label), quoted(p->dir));
    return EXIT_FAILED;
  }
  if (p->dir) {
    *out = key_copy(k->key);
    return *out ? -1 : EXIT_FAILED;
  }
  json_t *q = remote_request("ipns_key_export"), *reply;
  json_object_set_new(q, "key", json_string(label));
  int code = remote_ask(&p->r, q, quoted(label), NULL, &reply);
  const json_t *text = json_object_get(reply, "key_base64");
  uint8_t *bytes = NULL;
  size_t n = 0;
  if (code < 0 && (!json_is_string(text) || !read_base64(json_string_value(text), json_string_length(text), &bytes, &n) ||
                   msub_key_import((msub_bytes){ bytes, n }, out) != MSUB_OK)) {
    say_error(p->c->program, "%s: the node sent no key", quoted(label));
    code = EXIT_FAILED;
  }
  if (bytes) explicit_bzero(bytes, n);
  free(bytes);
  json_decref(reply);
  return code;
}

static int key_export(int argc, char **argv) {
  static const command c = {
    "meshsub ipns key export", "LABEL | NAME FILE [options]",
    "Writes a private key of a node's store to the new file FILE, mode 0600: as a libp2p\n"
    "PrivateKey, which \"ipfs key import\" takes, or in PEM. Whoever has the file can publish\n"
    "under the name.",
    "Exit codes: 0 done, 1 failed, or FILE exists, 2 wrong usage."
  };
  place p = { .c = &c, .r = { .fd = -1, .stop_fd = -1 } };
  const char *secret_file = NULL, *format = "libp2p-protobuf-cleartext";
  const option_row rows[] = {
    { "--format", 0, OPT_TEXT, "NAME", "libp2p-protobuf-cleartext (default), or pem-pkcs8-cleartext, as\nKubo calls them; or in short protobuf, pem.", &format, 0, 0, NULL },
    { "--passphrase", 0, OPT_TEXT, "FILE", "Encrypt the PEM; the passphrase is the first line of FILE.", &secret_file, 0, 0, NULL },
    PLACE_OPTIONS(&p), { 0 },
  };
  text_list args = { 0 };
  uint8_t bytes[KEY_BYTES_MAX], secret[1024];
  size_t n = 0, secret_n = 0;
  msub_key *key = NULL;
  int code = options_read(&c, rows, argc, argv, &args);
  bool pem = strcmp(format, "pem-pkcs8-cleartext") == 0 || strcmp(format, "pem") == 0;
  if (code < 0 && args.n != 2) code = usage_error(&c, args.n > 2 ? "one LABEL and one FILE only" : "LABEL and FILE are wanted; say which key, and the file to make");
  if (code < 0 && !pem && strcmp(format, "libp2p-protobuf-cleartext") != 0 && strcmp(format, "protobuf") != 0)
    code = usage_error(&c, "--format %s: there are libp2p-protobuf-cleartext and pem-pkcs8-cleartext", quoted(format));
  if (code < 0 && secret_file && !pem) code = usage_error(&c, "--passphrase is for --format pem");
  if (code < 0) code = key_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = begin(&p, false);
  if (code < 0) code = fetch_key(&p, args.v[0], &key);
  if (code < 0) {
    n = pem ? msub_key_to_pem(key, (msub_bytes){ secret, secret_n }, (char *)bytes, sizeof bytes) : msub_key_export(key, bytes, sizeof bytes);
    if (n == 0 || n > sizeof bytes) {
      say_error(c.program, "out of memory");
      code = EXIT_FAILED;
    } else {
      code = key_write(&c, args.v[1], bytes, n);
      if (code == EXIT_OK) code = -1;
    }
  }
  explicit_bzero(bytes, sizeof bytes);
  explicit_bzero(secret, sizeof secret);
  msub_key_free(key);
  free(args.v);
  return finish(&p, code);
}

static int key_list(int argc, char **argv) {
  static const command c = {
    "meshsub ipns key list", "[options]",
    "Prints the keys of a node's store: name, label, type. \"self\" is the node's own.",
    "JSON: {\"label\",\"name\",\"peer\",\"type\"} for each.\n\nExit codes: 0 done, 1 failed, 2 wrong usage."
  };
  place p = { .c = &c, .r = { .fd = -1, .stop_fd = -1 } };
  const option_row rows[] = { PLACE_OPTIONS(&p), { 0 } };
  text_list args = { 0 };
  json_t *reply = NULL, *one;
  size_t i;
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n) code = usage_error(&c, "%s: no argument is wanted here", quoted(args.v[0]));
  if (code < 0) code = begin(&p, false);
  if (code < 0 && !p.dir) code = remote_ask(&p.r, remote_request("ipns_keys"), "", NULL, &reply);
  if (code < 0 && !p.dir) {
    json_array_foreach(json_object_get(reply, "keys"), i, one) print(&p, json_incref(one), true);
  }
  for (i = 0; code < 0 && p.dir && keyring_at(p.keys, i); i++) print(&p, key_json(keyring_at(p.keys, i)), true);
  json_decref(reply);
  free(args.v);
  return finish(&p, code);
}

int ipns_cmd_key(int argc, char **argv) {
  static const command c = { "meshsub ipns key", "new LABEL | import LABEL FILE | export LABEL FILE | list",
                             "The private keys of IPNS names, in the store of a node. \"meshsub ipns key new --help\"\nand so on say more.",
                             "Exit codes: 0 done, 1 failed, 2 wrong usage." };
  static const struct { const char *name; int (*run)(int argc, char **argv); } all[] = { { "new", key_new }, { "import", key_import },
    { "export", key_export }, { "list", key_list } };
  const option_row none[] = { { 0 } };
  for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
    if (strcmp(argv[1], all[i].name) == 0) return all[i].run(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n) code = usage_error(&c, "unknown command %s; there are new, import, export and list", quoted(args.v[0]));
  else if (code < 0) code = usage_error(&c, "what to do is missing; say new, import, export or list");
  free(args.v);
  return code;
}
