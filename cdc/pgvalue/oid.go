package pgvalue

// OIDs of pg_catalog types: fixed since PostgreSQL 8 (src/include/catalog/pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidXID         = 28
	oidCID         = 29
	oidJSON        = 114
	oidCIDR        = 650
	oidFloat4      = 700
	oidFloat8      = 701
	oidMacaddr8    = 774
	oidMacaddr     = 829
	oidInet        = 869
	oidBPChar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidTimeTZ      = 1266
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802

	firstUserOID = 16384
)

func kindOf(oid uint32) Kind {
	switch oid {
	case oidBool:
		return KindBool
	case oidInt2, oidInt4:
		return KindInt
	case oidInt8:
		return KindInt8
	case oidOID, oidXID, oidCID:
		return KindOID
	case oidFloat4:
		return KindFloat4
	case oidFloat8:
		return KindFloat8
	case oidNumeric:
		return KindNumeric
	case oidText, oidVarchar, oidName, oidChar:
		return KindText
	case oidBPChar:
		return KindBPChar
	case oidUUID:
		return KindUUID
	case oidBytea:
		return KindBytea
	case oidJSON:
		return KindJSON
	case oidJSONB:
		return KindJSONB
	case oidInet, oidCIDR, oidMacaddr, oidMacaddr8:
		return KindNet
	}
	return timeKindOf(oid)
}

func timeKindOf(oid uint32) Kind {
	switch oid {
	case oidDate:
		return KindDate
	case oidTimestamp:
		return KindTimestamp
	case oidTimestampTZ:
		return KindTimestampTZ
	case oidTime:
		return KindTime
	case oidTimeTZ:
		return KindTimeTZ
	case oidInterval:
		return KindInterval
	}
	return KindOther
}
