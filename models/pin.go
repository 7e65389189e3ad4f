package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Answers are what a pack's networks say on the inputs everybody has.
type Answers struct {
	Networks map[Role][]float64 // see [ProbeAnswer]
	Golden   Golden             // of the whole chain; its Tolerance is not used
}

// Pin completes the manifest at path: it makes the networks from their sources
// and writes their sizes and hashes, the space and, with what run answers, the
// goldens back to it.
func Pin(ctx context.Context, path string, find Finder, run func(context.Context, *Pack) (Answers, error)) (*Manifest, error) {
	m, err := draft(path)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "pack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	for _, r := range m.Roles() {
		n := m.Networks[r]
		b, err := Convert(ctx, n, find)
		if err != nil {
			return nil, fmt.Errorf("pin %s: %w", r, err)
		}
		sum := sha256.Sum256(b)
		n.SHA256, n.Size, n.Golden = hex.EncodeToString(sum[:]), int64(len(b)), nil
		m.Networks[r] = n
		if err := os.WriteFile(filepath.Join(tmp, filepath.Base(n.File)), b, 0o644); err != nil {
			return nil, err
		}
	}
	if m.Space = m.DeriveSpace(); m.Space != "" {
		m.Golden = Golden{Mates: 1, Tolerance: m.Golden.Tolerance}
	}
	if err := m.save(filepath.Join(tmp, manifestFile)); err != nil {
		return nil, err
	}
	p, err := Open(tmp)
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	a, err := run(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("pin %s: %w", m.Name, err)
	}
	if m.Space != "" {
		a.Golden.Tolerance = m.Golden.Tolerance
		m.Golden = a.Golden
		m.Golden.Mates, m.Golden.Strangers = round(a.Golden.Mates), round(a.Golden.Strangers)
	}
	for r, values := range a.Networks {
		n := m.Networks[r]
		n.Golden = rounded(values)
		m.Networks[r] = n
	}
	return m, m.save(path)
}

// round keeps five decimals: more would only differ from processor to
// processor.
func round(v float64) float64 { return math.Round(v*1e5) / 1e5 }

func rounded(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = round(v)
	}
	return out
}

// PinCalibration writes the calibration in the file from into the manifest at
// path and changes nothing else.
func PinCalibration(path, from string) error {
	m, err := draft(path)
	if err != nil {
		return err
	}
	b, err := readSmall(from, maxManifest)
	if err != nil {
		return fmt.Errorf("read calibration: %w", err)
	}
	m.Calibration = Calibration{}
	if err := json.Unmarshal(b, &m.Calibration); err != nil {
		return fmt.Errorf("read calibration %s: %w", from, err)
	}
	if len(m.Calibration.Points) == 0 {
		return fmt.Errorf("read calibration %s: it has no points", from)
	}
	return m.save(path)
}

// draft reads a manifest that may not be complete yet.
func draft(path string) (*Manifest, error) {
	b, err := readSmall(path, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", path, err)
	}
	return &m, nil
}

// save writes the manifest if it is one that can be read again.
func (m *Manifest) save(path string) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	if _, err := ParseManifest(b); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return writeFile(path, b)
}
