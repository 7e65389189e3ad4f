package models

import (
	"bytes"
	"embed"
	"fmt"
	"image"
	"image/png"
	"path"
)

//go:embed packs/*.json
var definitions embed.FS

//go:embed golden/*.png
var golden embed.FS

// Builtin returns the manifests this program carries: preferred ones first, [PAD] last.
func Builtin() ([]*Manifest, error) {
	var all []*Manifest
	for _, name := range known {
		m, err := Definition(name)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Definition returns the manifest of a pack that this program carries.
func Definition(name string) (*Manifest, error) {
	b, ok := definition(name)
	if !ok {
		return nil, fmt.Errorf("pack %q: unknown; this program knows %v", name, known)
	}
	m, err := ParseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return m, nil
}

func definition(name string) ([]byte, bool) {
	b, err := definitions.ReadFile(path.Join("packs", name+".json"))
	return b, err == nil
}

// GoldenImages returns the rendered faces of the self-test: two images of one
// person and one of another. They are nobody's. They stay as they are for good:
// packs made elsewhere record what their networks answer to them.
func GoldenImages() (mates [2]image.Image, stranger image.Image, err error) {
	var all [3]image.Image
	for i, name := range []string{"a1.png", "a2.png", "b1.png"} {
		b, err := golden.ReadFile(path.Join("golden", name))
		if err != nil {
			return mates, nil, fmt.Errorf("read golden image: %w", err)
		}
		if all[i], err = png.Decode(bytes.NewReader(b)); err != nil {
			return mates, nil, fmt.Errorf("read golden image %s: %w", name, err)
		}
	}
	return [2]image.Image{all[0], all[1]}, all[2], nil
}
