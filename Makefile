# SPDX-License-Identifier: GPL-2.0-only
# make            lamina.ko and the tool
# make run        boot a guest, on the hardware or in an emulated host (CPU=intel)
# make check      all tests
# make check-long all tests on every host, for hours
# make bench      figures against KVM
KDIR ?= $(shell scripts/kdir)

.PHONY: all modules user run check check-long bench host clean

all: modules user

modules:
	+@$(MAKE) -C $(KDIR) M=$(CURDIR) modules

user:
	+@$(MAKE) -C user

run:
	@scripts/run $(if $(CPU),--cpu $(CPU))

check:
	@scripts/check

check-long:
	@scripts/check --long

bench:
	@scripts/bench

host:
	@scripts/host $(if $(CPU),--cpu $(CPU))

clean:
	@$(MAKE) -C $(KDIR) M=$(CURDIR) clean
	@$(MAKE) -C user clean
	@rm -rf build
