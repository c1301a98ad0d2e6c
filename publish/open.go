package publish

// Check reports whether dir is a publisher's directory, without taking it: it fails with ErrNoRepository or with what
// is wrong with its settings.
func Check(dir string) error {
	_, err := readSettings(dir)
	return err
}
