/* meshsub: the command. One file per subcommand; this one finds it. */
#include "cli/commands.h"
#include "cli/options.h"
#include <string.h>

static const struct subcommand {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *about;
} subcommands[] = {
  { "check-params", cmd_check_params, "judge the parameters of peer scores" },
  { "connect", cmd_connect, "have a running node connect to an address" },
  { "disconnect", cmd_disconnect, "have a running node close its connections to a peer" },
  { "ipns", cmd_ipns, "show and judge IPNS names and records" },
  { "key", cmd_key, "make and show identities" },
  { "log", cmd_log, "the log lines of a running node" },
  { "mesh", cmd_mesh, "who is in the meshes of a running node" },
  { "node", cmd_node, "run a node: forward messages, print what happens" },
  { "peers", cmd_peers, "the peers of a running node" },
  { "pub", cmd_pub, "publish a text, or the lines of standard input" },
  { "state", cmd_state, "all that a running node knows at one moment" },
  { "store", cmd_store, "look into the store of a node that does not run" },
  { "sub", cmd_sub, "subscribe to topics and print their messages" },
  { "topics", cmd_topics, "the topics that a running node knows of" },
};
#define SUBCOMMANDS (sizeof subcommands / sizeof *subcommands)

static const char *name_at(const void *ud, size_t i) {
  (void)ud;
  return i < SUBCOMMANDS ? subcommands[i].name : NULL;
}

static int help(void) {
  puts("usage: meshsub COMMAND [arguments and options]\n\n"
       "Publish/subscribe between libp2p nodes.\n\nCommands:");
  for (size_t i = 0; i < SUBCOMMANDS; i++) printf("  %-12s  %s\n", subcommands[i].name, subcommands[i].about);
  puts("\n\"meshsub COMMAND --help\" says more. Options may stand anywhere behind the command.\n\n"
       "  meshsub sub news --listen /ip4/127.0.0.1/tcp/4001\n"
       "  meshsub pub news \"hello\" --connect /ip4/127.0.0.1/tcp/4001\n\n"
       "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not what was waited for or\nasked about: peers or messages did not come in time, parameters were refused.");
  return flush_out("meshsub", stdout) ? EXIT_OK : EXIT_FAILED;
}

static int man(void) {
  man_begin("meshsub", "publish/subscribe between libp2p nodes");
  man_section("SYNOPSIS");
  puts("\\fBmeshsub\\fR COMMAND [arguments and options]");
  man_section("DESCRIPTION");
  man_text("Runs nodes that speak libp2p's pubsub protocols (gossipsub, randomsub, floodsub), and looks into running ones. Each command has a page of "
           "its own, meshsub-COMMAND(1). Options may stand anywhere behind the command.");
  man_section("COMMANDS");
  for (size_t i = 0; i < SUBCOMMANDS; i++) man_item(subcommands[i].name, subcommands[i].about);
  man_section("EXIT STATUS");
  man_text("0 done, 1 failed, 2 wrong usage, 3 not what was waited for or asked about: peers or messages did not come in time, parameters were refused.");
  man_section("ENVIRONMENT");
  man_item("MESHSUB_SOCKET", "The socket of a running node, for the commands that use one and get no --socket.");
  man_section("SEE ALSO");
  for (size_t i = 0; i < SUBCOMMANDS; i++) printf("\\fBmeshsub-%s\\fR(1)%s\n", subcommands[i].name, i + 1 < SUBCOMMANDS ? "," : "");
  return flush_out("meshsub", stdout) ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : NULL;
  if (!name) {
    say_error("meshsub", "a command is missing; run \"meshsub --help\" for the list");
    return EXIT_USAGE;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) return help();
  if (strcmp(name, "--man") == 0) return man();
  if (strcmp(name, "--version") == 0) {
    puts("meshsub " MSUB_VERSION);
    return flush_out("meshsub", stdout) ? EXIT_OK : EXIT_FAILED;
  }
  for (size_t i = 0; i < SUBCOMMANDS; i++)
    if (strcmp(name, subcommands[i].name) == 0) return subcommands[i].run(argc - 1, argv + 1);
  const char *kind = name[0] == '-' ? "option" : "command", *meant = nearest(name, name_at, NULL);
  if (meant)
    say_error("meshsub", "unknown %s %s; did you mean \"%s\"? Run \"meshsub --help\" for the list", kind,
              quoted(name), meant);
  else
    say_error("meshsub", "unknown %s %s; run \"meshsub --help\" for the list", kind, quoted(name));
  return EXIT_USAGE;
}
