package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
	"github.com/ota-agent/ota-agent/install"
)

// bootIDBytesMax bounds the file that holds the boot ID: a UUID has 36 bytes.
const bootIDBytesMax = 128

// system is this machine, as agent.System.
type system struct {
	bootID string
	born   time.Duration // CLOCK_BOOTTIME at which the boot began; the kernel's own began at 0
	reboot []string
}

var _ agent.System = system{}

// newSystem reads the boot ID once: it can't change while a process lives.
func newSystem(s settings) (system, error) {
	b, err := files.Read(s.bootID, bootIDBytesMax)
	var id string
	var born time.Duration
	if err == nil {
		if id, born, err = readBoot(string(b)); err != nil {
			err = fmt.Errorf("%s: %w", s.bootID, err)
		}
	}
	if err != nil {
		return system{}, s.wrong(exitConfig, "reboot.boot_id", fmt.Errorf("can't read the boot ID: %w", err),
			"without it a trial can't be told from the boot before it; is /proc mounted?")
	}
	return system{bootID: id, born: born, reboot: s.reboot}, nil
}

// readBoot reads a boot ID and, in a file that stands in for the kernel's, the seconds of CLOCK_BOOTTIME at
// which that boot began: a simulated board must not take the uptime of its host for its own, once for each of
// its boots.
func readBoot(text string) (id string, born time.Duration, err error) {
	id, seconds, simulated := strings.Cut(strings.TrimSpace(text), "\n")
	if id == "" {
		return "", 0, errors.New("it is empty")
	}
	if simulated {
		if born, err = time.ParseDuration(seconds + "s"); err != nil || born < 0 {
			return "", 0, errors.New("its second line is no number of seconds of CLOCK_BOOTTIME; expected that, or no such line") // what it is may be secret
		}
	}
	return id, born, nil
}

func (s system) BootID() string { return s.bootID }

// Uptime counts on through a suspend, which Go's monotonic clock does not.
func (s system) Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // there since Linux 2.6.39
	}
	return max(0, time.Duration(t.Nano())-s.born)
}

// Clock asks the kernel, which knows of any NTP daemon, whether the clock is synchronised. Where it may not be asked
// the clock is not believed.
func (s system) Clock() (now time.Time, synchronised bool) {
	var t unix.Timex // no modes: a reading
	state, err := unix.Adjtimex(&t)
	return time.Now(), err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

func (s system) Reboot(ctx context.Context) error { return install.Reboot(ctx, s.reboot) }
