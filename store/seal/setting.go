package seal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
)

// Opener returns what opens the keyring of an environment for a store, with the
// master key that opt leads to by then.
func Opener(env store.Environment, opt MasterOptions) func() (store.Keyring, error) {
	return func() (store.Keyring, error) {
		m, err := FindMaster(opt)
		if err != nil {
			return nil, err
		}
		return Open(Path(opt.Dir, env), m, Options{})
	}
}

// ParseMaster reads an operator's words for where a master key is:
//
//	(nothing)           systemd's credential, else the local key
//	file:PATH           a key file, as on a USB stick
//	passphrase          asked for on the terminal
//	passphrase-fd:N     the first line of a file descriptor
//
// The options it returns ask for a passphrase when it is needed, once.
func ParseMaster(setting string) (MasterOptions, error) {
	kind, rest, _ := strings.Cut(setting, ":")
	switch {
	case setting == "":
		return MasterOptions{}, nil
	case kind == "file" && rest != "":
		return MasterOptions{KeyFile: rest}, nil
	case setting == "passphrase":
		return MasterOptions{Ask: once(askTerminal)}, nil
	case kind == "passphrase-fd":
		if fd, err := strconv.ParseUint(rest, 10, 16); err == nil {
			return MasterOptions{Ask: once(func(bool) ([]byte, error) { return readLine(fd) })}, nil
		}
	}
	return MasterOptions{}, fmt.Errorf("find master key: %q is none of file:PATH, passphrase, passphrase-fd:N", setting)
}

// once asks the first time, and gives each later caller a copy.
func once(ask func(bool) ([]byte, error)) func(bool) ([]byte, error) {
	var phrase []byte
	return func(isNew bool) ([]byte, error) {
		if phrase == nil {
			answer, err := ask(isNew)
			if err != nil {
				return nil, err
			}
			phrase = answer
		}
		return bytes.Clone(phrase), nil
	}
}

const maxPhrase = 1024 // bytes

func readLine(fd uint64) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "passphrase")
	if f == nil {
		return nil, fmt.Errorf("no file descriptor %d", fd)
	}
	defer f.Close()
	return line(bufio.NewReaderSize(f, maxPhrase))
}

func line(r *bufio.Reader) ([]byte, error) {
	b, err := r.ReadSlice('\n') // ErrBufferFull where it is too long
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if b = bytes.TrimRight(b, "\r\n"); len(b) == 0 {
		return nil, errors.New("it is empty")
	}
	return bytes.Clone(b), nil
}

// askTerminal asks on the terminal of the process, without an echo.
func askTerminal(isNew bool) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("there is no terminal to ask on (use passphrase-fd:N, a key file or systemd's credential)")
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &silent); err != nil {
		return nil, err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }() // nothing else could be done
	lines := bufio.NewReaderSize(tty, maxPhrase)
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(tty, prompt)
		defer fmt.Fprintln(tty)
		return line(lines)
	}
	if !isNew {
		return ask("Passphrase of the box: ")
	}
	phrase, err := ask("New passphrase of the box: ")
	if err != nil {
		return nil, err
	}
	again, err := ask("The same once more: ")
	if err == nil && !bytes.Equal(phrase, again) {
		err = errors.New("the two differ")
	}
	return phrase, err
}
