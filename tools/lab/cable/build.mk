# The laboratory's cables: a module for the emulator, and a library for tools/lab/library.py with the switch and lwIP in it.

LAB_DIR := $(BUILD)/lab
CABLE_MODULE := $(LAB_DIR)/libbx_eth_cable.so
CABLE_LIB := $(LAB_DIR)/libcable.so
CABLE_PURE := $(addprefix tools/lab/cable/, records.c fabric.c)
CABLE_SRCS := $(CABLE_PURE) $(addprefix tools/lab/cable/, lab.c capture.c station.c)
CABLE_LWIP := $(addprefix $(DEPS)/src/lwip/src/, \
    $(addprefix core/, def inet_chksum init ip mem memp netif pbuf raw stats sys tcp tcp_in tcp_out timeouts) \
    $(addprefix core/ipv4/, etharp icmp ip4 ip4_addr ip4_frag) netif/ethernet)
CABLE_CFLAGS := -std=gnu11 -O2 -g -fPIC -I. -Itools/lab/cable/lwip -isystem $(LWIP_INC) -MMD -MP
CABLE_OBJS := $(CABLE_SRCS:tools/lab/cable/%.c=$(LAB_DIR)/%.o)
CABLE_LWIP_OBJS := $(CABLE_LWIP:$(DEPS)/src/lwip/src/%=$(LAB_DIR)/lwip/%.o)

$(CABLE_OBJS): $(LAB_DIR)/%.o: tools/lab/cable/%.c tools/lab/cable/build.mk | $(PACKAGES_STAMP) $(SOURCES_STAMP)
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@gcc $(CABLE_CFLAGS) $(HOST_WARNINGS) -c -o $@ $<

# Foreign code is not ours to warn about.
$(CABLE_LWIP_OBJS): $(LAB_DIR)/lwip/%.o: tools/lab/cable/lwip/lwipopts.h tools/lab/cable/build.mk | $(PACKAGES_STAMP) $(SOURCES_STAMP)
	@mkdir -p $(@D)
	@gcc $(CABLE_CFLAGS) -w -c -o $@ $(DEPS)/src/lwip/src/$*.c

$(CABLE_LIB): $(CABLE_OBJS) $(CABLE_LWIP_OBJS)
	@echo "  HOSTLD  $@"
	@gcc -shared -o $@ $^

# Loaded into Bochs: found by its name, eth_cable, and before the C library.
$(CABLE_MODULE): $(addprefix tools/lab/cable/, machine.c emulator.h futex.h shared.h build.mk) | $(PACKAGES_STAMP)
	@mkdir -p $(@D)
	@echo "  HOSTLD  $@"
	@gcc -std=gnu11 -O2 -fPIC -shared -I. $(HOST_WARNINGS) -o $@ $<

-include $(CABLE_OBJS:.o=.d) $(CABLE_LWIP_OBJS:.o=.d)
