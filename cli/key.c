/* meshsub key: identities. */
#include "cli/commands.h"
#include "cli/node.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const type_names[] = { "rsa", "ed25519", "secp256k1", "ecdsa" };

static void print_key(const msub_key *key, const char *file, bool json) {
  msub_bytes public = msub_key_public(key);
  const char *type = type_names[msub_key_type_of(key)];
  if (json) {
    json_t *j = json_object();
    if (file) json_object_set_new(j, "file", json_string(file));
    json_object_set_new(j, "peer", json_peer(msub_key_peer_id(key)));
    json_object_set_new(j, "type", json_string(type));
    json_object_set_new(j, "public_key", json_hex(public));
    put_json(stdout, j);
    return;
  }
  char *hex = take(2 * public.n + 1);
  put_hex(hex, public);
  printf("peer        %s\ntype        %s\npublic key  %s\n", peer_text(msub_key_peer_id(key)), type, hex);
  free(hex);
}

static bool write_all(int fd, const uint8_t *p, size_t n) {
  while (n) {
    ssize_t written = write(fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

/* A new file, never an old one, readable for its owner only; all of it on the disk or no file at all. */
static int write_key(const command *c, const char *file, const uint8_t *bytes, size_t n) {
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    say_error(c->program, "%s: exists, and a key is never overwritten; choose another name", quoted(file));
    return EXIT_FAILED;
  }
  if (fd < 0) {
    say_error(c->program, "%s: cannot be made: %s", quoted(file), strerror(errno));
    return EXIT_FAILED;
  }
  bool good = fchmod(fd, 0600) == 0 && write_all(fd, bytes, n) && fsync(fd) == 0;
  int error = errno;
  if (close(fd) != 0 && good) {
    good = false;
    error = errno;
  }
  if (good) return EXIT_OK;
  unlink(file);
  say_error(c->program, "%s: cannot be written: %s", quoted(file), strerror(error));
  return EXIT_FAILED;
}

static int key_new(int argc, char **argv) {
  static const command c = {
    "meshsub key new", "FILE [options]",
    "Makes a new Ed25519 identity and writes it to FILE (mode 0600), as a libp2p\n"
    "PrivateKey protobuf. A file that exists is never overwritten. Prints the peer id.",
    "Exit codes: 0 done, 1 the file exists or cannot be written, 2 wrong usage."
  };
  bool json = false, to_stdout = false;
  const option_row rows[] = {
    { "--stdout", 0, OPT_FLAG, NULL, "Write the key to standard output instead of a file.", &to_stdout, 0, 0,
      NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && to_stdout && (args.n || json))
    code = usage_error(&c, "--stdout goes with neither a FILE nor --json: the key is all that is written");
  if (code < 0 && !to_stdout && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name the file to make");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  if (code >= 0) return code;
  msub_key *key = NULL;
  int err = msub_key_generate(&key);
  if (err != MSUB_OK) {
    say_error(c.program, "no key can be made: %s", msub_err_text(err));
    return EXIT_FAILED;
  }
  uint8_t bytes[256];
  size_t n = msub_key_export(key, bytes, sizeof bytes);
  if (to_stdout) {
    code = write_all(STDOUT_FILENO, bytes, n) ? EXIT_OK : EXIT_FAILED;
    if (code) say_error(c.program, "standard output cannot be written: %s", strerror(errno));
  } else {
    code = write_key(&c, file, bytes, n);
    if (code == EXIT_OK && json)
      print_key(key, file, true);
    else if (code == EXIT_OK)
      puts(peer_text(msub_key_peer_id(key)));
  }
  explicit_bzero(bytes, sizeof bytes);
  msub_key_free(key);
  return code == EXIT_OK && !flush_out(c.program, stdout) ? EXIT_FAILED : code;
}

static int key_show(int argc, char **argv) {
  static const command c = {
    "meshsub key show", "FILE [options]",
    "Prints the peer id, type and public key (a PublicKey protobuf, in hex) of a key file.",
    "Exit codes: 0 done, 1 the file is no readable key, 2 wrong usage."
  };
  bool json = false;
  const option_row rows[] = { { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
                              { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name a key file");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  if (code >= 0) return code;
  msub_key *key = NULL;
  code = key_read(c.program, "", file, &key);
  if (code >= 0) return code;
  print_key(key, file, json);
  msub_key_free(key);
  return flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
}

int cmd_key(int argc, char **argv) {
  static const command c = {
    "meshsub key", "new FILE | show FILE",
    "Makes and shows identities. \"meshsub key new --help\" and \"meshsub key show --help\"\n"
    "say more.",
    "Exit codes: 0 done, 1 failed, 2 wrong usage."
  };
  const option_row none[] = { { 0 } };
  if (argc > 1 && strcmp(argv[1], "new") == 0) return key_new(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "show") == 0) return key_show(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "unknown command %s; there are new and show", quoted(args.v[0]));
  else if (code < 0)
    code = usage_error(&c, "what to do is missing; say new or show");
  free(args.v);
  return code;
}
