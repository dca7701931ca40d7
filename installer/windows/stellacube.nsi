; Installer for Windows: per user, no administrator; an older version is replaced and settings stay.
; makensis -DVERSION=0.1.0 -DBUNDLE=dist\stellacube -DICON=build\icons\stellacube.ico -DOUTFILE=dist\setup.exe installer\windows\stellacube.nsi
; (paths absolute, or relative to the folder of this file)
Unicode true
ManifestDPIAware true
!include "MUI2.nsh"
!include "FileFunc.nsh"

!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\Stellacube"
!define CLASSES "Software\Classes"

Name "Stellacube"
OutFile "${OUTFILE}"
InstallDir "$LOCALAPPDATA\Programs\Stellacube"
InstallDirRegKey HKCU "${KEY}" "InstallLocation"
RequestExecutionLevel user
SetCompressor /SOLID lzma
BrandingText "Stellacube ${VERSION}"
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "Stellacube"
VIAddVersionKey "FileDescription" "Stellacube installer"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "The Stellacube developers, BSD 3-clause licence"

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_FINISHPAGE_RUN "$INSTDIR\stellacube.exe"
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Removes the program's own files from $INSTDIR: named ones, so that a folder chosen in error loses nothing else.
!macro RemoveProgram
  Delete "$INSTDIR\stellacube.exe"
  Delete "$INSTDIR\stellacube-cli.exe"
  RMDir /r "$INSTDIR\_internal"
!macroend

Section "Install"
  ; A running program keeps its files: say so rather than leave half of two versions.
  ClearErrors
  ${If} ${FileExists} "$INSTDIR\stellacube.exe"
    Delete "$INSTDIR\stellacube.exe"
    ${If} ${Errors}
      MessageBox MB_OK|MB_ICONEXCLAMATION "Stellacube is running. Close it, then install again." /SD IDOK
      SetErrorLevel 1
      Abort
    ${EndIf}
  ${EndIf}
  !insertmacro RemoveProgram
  SetOutPath "$INSTDIR"
  File /r "${BUNDLE}/*"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortCut "$SMPROGRAMS\Stellacube.lnk" "$INSTDIR\stellacube.exe"

  ; Sessions open with Stellacube; for FITS files it is offered under "Open with".
  WriteRegStr HKCU "${CLASSES}\Stellacube.session" "" "Stellacube session"
  WriteRegStr HKCU "${CLASSES}\Stellacube.session\DefaultIcon" "" "$INSTDIR\stellacube.exe,0"
  WriteRegStr HKCU "${CLASSES}\Stellacube.session\shell\open\command" "" '"$INSTDIR\stellacube.exe" "%1"'
  WriteRegStr HKCU "${CLASSES}\.stellacube" "" "Stellacube.session"
  WriteRegStr HKCU "${CLASSES}\Stellacube.fits" "" "FITS data cube"
  WriteRegStr HKCU "${CLASSES}\Stellacube.fits\shell\open\command" "" '"$INSTDIR\stellacube.exe" "%1"'
  WriteRegStr HKCU "${CLASSES}\.fits\OpenWithProgids" "Stellacube.fits" ""
  WriteRegStr HKCU "${CLASSES}\.fit\OpenWithProgids" "Stellacube.fits" ""
  WriteRegStr HKCU "${CLASSES}\.fz\OpenWithProgids" "Stellacube.fits" ""
  System::Call 'shell32::SHChangeNotify(i 0x08000000, i 0, p 0, p 0)'

  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  WriteRegDWORD HKCU "${KEY}" "EstimatedSize" $0
  WriteRegStr HKCU "${KEY}" "DisplayName" "Stellacube"
  WriteRegStr HKCU "${KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${KEY}" "DisplayIcon" "$INSTDIR\stellacube.exe"
  WriteRegStr HKCU "${KEY}" "Publisher" "The Stellacube developers"
  WriteRegStr HKCU "${KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${KEY}" "NoModify" 1
  WriteRegDWORD HKCU "${KEY}" "NoRepair" 1
SectionEnd

Section "Uninstall"
  !insertmacro RemoveProgram
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\Stellacube.lnk"
  RMDir /r "$LOCALAPPDATA\Stellacube"   ; the log
  DeleteRegKey HKCU "${CLASSES}\Stellacube.session"
  DeleteRegKey HKCU "${CLASSES}\Stellacube.fits"
  DeleteRegKey HKCU "${CLASSES}\.stellacube"
  DeleteRegValue HKCU "${CLASSES}\.fits\OpenWithProgids" "Stellacube.fits"
  DeleteRegValue HKCU "${CLASSES}\.fit\OpenWithProgids" "Stellacube.fits"
  DeleteRegValue HKCU "${CLASSES}\.fz\OpenWithProgids" "Stellacube.fits"
  DeleteRegKey HKCU "${KEY}"
  System::Call 'shell32::SHChangeNotify(i 0x08000000, i 0, p 0, p 0)'
SectionEnd
