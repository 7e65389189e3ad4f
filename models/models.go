// Package models holds packs: the networks a box recognises people with, as a
// folder of TFLite files and a manifest that says what they are.
//
// [Builtin] lists the packs this program knows by heart; [Install] makes one
// of them from original weights (converted on the spot), [Import] takes a
// ready-made one from a folder or stick, [Default] finds the one to use:
//
//	pack, err := models.Default(models.Root("", os.Getenv))
//	f, err := pack.File(models.Embed) // hashed, unchangeable; load by /proc/self/fd/N
//	score, ok := pack.Manifest.Calibration.Threshold(1e-4)
//
// A damaged network crashes the process that loads it, so nothing is handed
// out whose hash is not the manifest's, and what is handed out is a sealed
// copy in memory that nobody can change after it was hashed. The package does
// not run networks and cannot tell whether a pack with right hashes is any
// good: probing it in a child process and the start-up self-test are
// engine/tflite's.
package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What callers branch on.
var (
	// ErrNoPack: the root holds no pack at all.
	ErrNoPack = errors.New("no pack is installed")
	// ErrDamaged: a file is not what the manifest says.
	ErrDamaged = errors.New("damaged")
)

const (
	manifestFile = "manifest.json"
	useFile      = "use" // ROOT/use names the chosen pack
)

// preference orders packs where nobody chose one.
var preference = []string{"standard", "basic"}

// known are all packs that this program carries.
var known = append(slices.Clone(preference), PAD)

// Root returns the folder of installed packs: flag (the value of --packs)
// where it is set, else $CYPHERFACE_PACKS, else packs/ beside the program.
func Root(flag string, getenv func(string) string) string {
	if flag != "" {
		return flag
	}
	if dir := getenv("CYPHERFACE_PACKS"); dir != "" {
		return dir
	}
	exe, err := os.Executable()
	if err != nil {
		return "packs"
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Join(filepath.Dir(exe), "packs")
}

// Installed opens every pack below root that recognises people, preferred ones
// first. Packs that cannot be opened are left out and reported together in err,
// beside those that can.
func Installed(root string) ([]*Pack, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	var packs []*Pack
	var faults []error
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == PAD {
			continue
		}
		p, err := Open(filepath.Join(root, e.Name()))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		packs = append(packs, p)
	}
	slices.SortStableFunc(packs, func(a, b *Pack) int { return rank(a) - rank(b) })
	return packs, errors.Join(faults...)
}

// Beside opens the pack [PAD] below root, which stands beside the one in use. It is
// nil, without an error, where none is installed.
func Beside(root string) (*Pack, error) {
	if _, err := os.Lstat(filepath.Join(root, PAD)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p, err := Open(filepath.Join(root, PAD))
	if err == nil && p.Name != PAD {
		err = fmt.Errorf("open pack in %s: it is %s", p.Dir, p.Name)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func rank(p *Pack) int {
	if i := slices.Index(preference, p.Name); i >= 0 {
		return i
	}
	return len(preference)
}

// Default opens the pack to use: the one chosen with [Use], else standard,
// else basic, else any. A pack that should be used and cannot be opened is an
// error: another pack's templates live in another space, so falling back in
// silence would turn everyone away.
func Default(root string) (*Pack, error) {
	name, err := Chosen(root)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = preferred(root)
	}
	if name != "" {
		p, err := Open(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("open the pack in use: %w (cypherface models import or pull mends it, models use NAME chooses another)", err)
		}
		return p, nil
	}
	packs, err := Installed(root)
	if len(packs) > 0 {
		return packs[0], nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("open pack in %s: %w (make setup installs one, or: cypherface models pull standard)", root, ErrNoPack)
}

// OfSpace opens the pack whose templates are in a space: an installed one, or
// what one was before its last change. The error is ErrNoPack where there is none.
func OfSpace(root, space string) (*Pack, error) {
	packs, faults := Installed(root)
	for _, p := range packs {
		if p.Space == space {
			return p, nil
		}
	}
	for _, p := range packs {
		if old, err := Previous(root, p.Name); err == nil && old.Space == space {
			return old, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("open the pack of space %s: %w", space, ErrNoPack), faults)
}

// preferred names the best known pack that root has a folder of, "" for none.
func preferred(root string) string {
	for _, name := range preference {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			return name
		}
	}
	return ""
}

// Chosen returns the name recorded by [Use], "" where nobody chose.
func Chosen(root string) (string, error) {
	b, err := readSmall(filepath.Join(root, useFile), 256)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the chosen pack: %w", err)
	}
	name := strings.TrimSpace(string(b))
	if !plainName(name) {
		return "", fmt.Errorf("read the chosen pack: %q in %s is no pack's name (cypherface models use NAME mends it)", name, filepath.Join(root, useFile))
	}
	return name, nil
}

// Use records name as the pack of this root. The caller has probed it.
func Use(root, name string) error {
	if !plainName(name) {
		return fmt.Errorf("use pack %q: no pack's name", name)
	}
	if name == PAD {
		return fmt.Errorf("use pack %s: it recognises nobody; it stands beside the pack in use wherever it is installed", name)
	}
	if _, err := Open(filepath.Join(root, name)); err != nil {
		return fmt.Errorf("use pack %s: %w", name, err)
	}
	if err := writeFile(filepath.Join(root, useFile), []byte(name+"\n")); err != nil {
		return fmt.Errorf("use pack %s: %w", name, err)
	}
	return nil
}
