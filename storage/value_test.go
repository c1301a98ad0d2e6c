package storage

import (
	"bytes"
	"errors"
	"testing"
)

func isNewer(err error) bool { return errors.Is(err, errNewer) }

func TestSealedValueChanged(t *testing.T) {
	key, payload := []byte("key"), []byte("some payload")
	good := seal(bucketRecords, key, payload)
	got, err := unseal(bucketRecords, key, good)
	must(t, err)
	wantBytes(t, "payload", got, payload)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := unseal(bucketRecords, key, bad); !isDamaged(err) {
				t.Errorf("byte %d bit %d: %v", i, bit, err)
			}
		}
		if _, err := unseal(bucketRecords, key, good[:i]); !isDamaged(err) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for what, err := range map[string]error{
		"another key":    second(unseal(bucketRecords, []byte("kez"), good)),
		"another bucket": second(unseal(bucketTime, key, good)),
		"longer":         second(unseal(bucketRecords, key, append(good, 0))),
	} {
		if !isDamaged(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzUnseal(f *testing.F) {
	f.Add("records", []byte("key"), seal("records", []byte("key"), []byte("payload")))
	f.Add("", []byte(nil), []byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, bucket string, key, value []byte) {
		payload, err := unseal(bucket, key, value)
		if err == nil {
			wantBytes(t, "sealed again", seal(bucket, key, payload), value)
		} else if !isDamaged(err) && !isNewer(err) {
			t.Fatal(err)
		}
		if again, err := unseal(bucket, key, seal(bucket, key, value)); err != nil || !bytes.Equal(again, value) {
			t.Fatalf("%x came back as %x, %v", value, again, err)
		}
	})
}

func FuzzDecodeDocument(f *testing.F) {
	for _, n := range []int{0, 10, inlineBytesMax + 1} {
		value, _ := encodeDocument(make([]byte, n))
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		inline, large, err := decodeDocument(value)
		if err != nil && !isDamaged(err) {
			t.Fatal(err)
		}
		if err == nil && large == nil && len(inline) <= inlineBytesMax {
			again, _ := encodeDocument(inline)
			wantBytes(t, "value", again, value)
		}
	})
}

func FuzzDecodeTag(f *testing.F) {
	f.Add(tag{durable: 5, validator: `"etag"`}.encode())
	f.Add(tag{}.encode())
	f.Add(tag{durable: 1 << 40, boot: markBoot("a boot")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeTag(b)
		if err == nil {
			wantBytes(t, "tag", got.encode(), b)
		} else if !isDamaged(err) {
			t.Fatal(err)
		}
	})
}
