# The operator's host client: $(BUILD)/tools/telepod. Included by the top Makefile; needs $(BUILD) and PACKAGES_STAMP.

TELEPOD := $(BUILD)/tools/telepod
TELEPOD_SRCS := $(wildcard tools/telepod/*.c)
TELEPOD_OBJS := $(TELEPOD_SRCS:tools/telepod/%.c=$(BUILD)/tools/obj/%.o)
TELEPOD_CFLAGS := -std=gnu11 -O2 -g -I. -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes

$(BUILD)/tools/obj/%.o: tools/telepod/%.c tools/telepod/build.mk | $(PACKAGES_STAMP)
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@gcc $(TELEPOD_CFLAGS) $(TELEPOD_SANITIZE) -MMD -MP -c -o $@ $<

$(TELEPOD): $(TELEPOD_OBJS)
	@echo "  HOSTLD  $@"
	@gcc $(TELEPOD_SANITIZE) -o $@ $^ -lcjson

# Against a fake pod that says what pods say, and what they should not.
.PHONY: test-client
test-client: $(TELEPOD)
	@python3 tests/client/test_telepod.py $(TELEPOD)

-include $(TELEPOD_OBJS:.o=.d)
