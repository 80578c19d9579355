/*
 * test_notify.c
 *		What the service manager is told, at a socket of the test's own.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "notify.c"

static int manager = -1;
static char path[64];

/* listen_at makes the manager's socket; "@" makes one without a file. */
static void
listen_at(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) +
								 strlen(name));

	memcpy(at.sun_path, name, strlen(name));
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *) &at, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static int
set_up(void **state UNUSED)
{
	snprintf(path, sizeof(path), "/tmp/mirusync-test-notify-%d", getpid());
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	if (manager >= 0)
		close(manager);
	manager = -1;
	unlink(path);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	address_len = 0;
	watchdog_ms = 0;
	next_ms = 0;
	return 0;
}

static const char *
heard(void)
{
	static char text[256];
	ssize_t len = recv(manager, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void
tells(void **state UNUSED)
{
	listen_at(path);
	notify_init();
	notify_ready();
	assert_string_equal(heard(), "READY=1\nSTATUS=listening");
	notify_reloading();
	assert_non_null(strstr(heard(), "RELOADING=1\nMONOTONIC_USEC="));
	notify_stopping();
	assert_non_null(strstr(heard(), "STOPPING=1\n"));
	/* No watchdog was asked for. */
	notify_tick(1000000);
	assert_string_equal(heard(), "");
}

static void
tells_without_a_file(void **state UNUSED)
{
	snprintf(path, sizeof(path), "@mirusync-test-notify-%d", getpid());
	listen_at(path);
	notify_init();
	notify_ready();
	assert_string_equal(heard(), "READY=1\nSTATUS=listening");
}

static void
feeds_the_watchdog(void **state UNUSED)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	listen_at(path);
	setenv("WATCHDOG_USEC", "2000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	notify_init();
	notify_tick(5000);
	assert_string_equal(heard(), "WATCHDOG=1");
	notify_tick(5999);
	assert_string_equal(heard(), "");
	notify_tick(6000);
	assert_string_equal(heard(), "WATCHDOG=1");
}

static void
leaves_the_watchdog_of_others(void **state UNUSED)
{
	listen_at(path);
	setenv("WATCHDOG_USEC", "2000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init();
	notify_tick(5000);
	assert_string_equal(heard(), "");
}

static void
is_silent_where_nobody_listens(void **state UNUSED)
{
	static const char *const places[] = {"relative", "", "/nowhere/at/all"};

	notify_init();
	notify_ready();
	log_set_level("error");
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		setenv("NOTIFY_SOCKET", places[i], 1);
		notify_init();
		notify_ready();
	}
	log_set_level("info");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_without_a_file, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(feeds_the_watchdog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leaves_the_watchdog_of_others, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(is_silent_where_nobody_listens, set_up,
										tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
