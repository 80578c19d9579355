/*
 * fuzz_config.c
 *		Any bytes as a configuration file, read as config_load reads one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.c"
#include "config_read.c"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Config config;
	Loader loader;
	char error[256] = "";
	char *text = malloc(size + 1);
	int i;

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';

	memset(&config, 0, sizeof(config));
	memset(&loader, 0, sizeof(loader));
	loader.config = &config;
	loader.path = "fuzz.conf";
	loader.error = error;
	loader.error_size = sizeof(error);
	if (!read_defaults(&loader))
		abort();

	/* either an error with words, or every setting within its bounds */
	if (!read_text(&loader, text, size))
	{
		if (error[0] == '\0')
			abort();
	}
	else
	{
		for (i = 0; i < SETTING_TOTAL; i++)
		{
			if (config_settings[i].type == SETTING_COUNT)
			{
				int value = *(int *) field_of(&config, &config_settings[i]);

				if (value < config_settings[i].min ||
					value > config_settings[i].max)
					abort();
			}
			else if (config_settings[i].type == SETTING_TEXT &&
					 *(char **) field_of(&config, &config_settings[i]) == NULL)
				abort();
		}
	}
	config_release(&config);
	free(text);
	return 0;
}
