/* Reads the files named on standard input with libuci and prints what it makes of each, in hexadecimal, up to a line ".". */
#include <stdio.h>
#include <string.h>

#include <uci.h>

static void put(const char *text)
{
	putchar(' ');
	for (; *text; text++)
		printf("%02x", (unsigned char)*text);
}

static void show(struct uci_package *package)
{
	struct uci_element *s, *o, *i;

	uci_foreach_element(&package->sections, s) {
		struct uci_section *section = uci_to_section(s);

		printf("section %d", section->anonymous);
		put(section->type);
		put(s->name);
		putchar('\n');
		uci_foreach_element(&section->options, o) {
			struct uci_option *option = uci_to_option(o);

			printf(option->type == UCI_TYPE_LIST ? "list" : "option");
			put(o->name);
			if (option->type == UCI_TYPE_LIST) {
				uci_foreach_element(&option->v.list, i)
					put(i->name);
			} else {
				put(option->v.string);
			}
			putchar('\n');
		}
	}
}

int main(void)
{
	char path[4096];

	while (fgets(path, sizeof(path), stdin)) {
		struct uci_context *context = uci_alloc_context();
		struct uci_package *package = NULL;

		path[strcspn(path, "\n")] = 0;
		if (uci_load(context, path, &package) == UCI_OK && package)
			show(package);
		else
			puts("refused");
		puts(".");
		fflush(stdout);
		uci_free_context(context);
	}
	return 0;
}
